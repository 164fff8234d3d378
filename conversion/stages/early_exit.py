"""IAT: when a confident sample may stop (section 3.3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from conversion.calibration import Calibration
from conversion.early_exit import Sign, exit_bars, normalised_entropy
from conversion.errors import InvalidInput
from conversion.network import SpikingNetwork
from conversion.simulate import simulate
from conversion.stages.base import require_neurons


@dataclass(frozen=True)
class EarlyExit:
    """Learns from held-out training samples how sure a correct prediction is at every step, and sets the bars.

    Attributes:
        base, scale, delta: of the bar base + scale exp(-(E_t - min E) / delta); the defaults are the paper's for
            CIFAR. It takes 0.995, 0.005 and 1 for ImageNet.
        sign: how the paper's entropy is read, see `exit_bars`.
    """

    base: float = 0.6
    scale: float = 0.4
    delta: float = 1.0
    sign: Sign = "code"

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        require_neurons(network, "Early exit")
        if calibration.held_out is None:
            raise InvalidInput(
                "IAT learns from labels how sure a correct prediction is: give held_out=(inputs, classes), training "
                "samples that are not in the calibration set. Boxes are no such labels: with them, use the "
                "same method without IAT."
            )
        inputs, classes = calibration.held_out
        entropy = torch.zeros(network.T, dtype=torch.float64)
        correct = torch.zeros(network.T, dtype=torch.float64)
        for batch, targets in zip(
            inputs.split(calibration.pass_batch), classes.split(calibration.pass_batch), strict=True
        ):
            readout = simulate(replace(network, exit=None), batch, count=False)
            for t in range(1, network.T + 1):
                spread = normalised_entropy(readout.mean(t), t).double().cpu()
                right = readout.mean(t).argmax(1).cpu() == targets.cpu()
                entropy[t - 1] += spread[right].sum()
                correct[t - 1] += right.sum()
        # Where nothing is right yet nothing is known: as unsure as can be.
        mean = torch.where(correct > 0, entropy / correct.clamp(min=1), 1.0)
        return replace(network, exit=exit_bars(mean.tolist(), self.base, self.scale, self.delta, self.sign))
