"""IAT: when a confident sample may stop (section 3.3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from conversion.calibration import Calibration
from conversion.early_exit import Sign, exit_bars, position_entropy
from conversion.errors import InvalidInput
from conversion.frames import batches_of
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
            batches_of(inputs, calibration.pass_batch), classes.split(calibration.pass_batch), strict=True
        ):

            def learn(t: int, output: Any, targets: Tensor = targets) -> None:
                spread = position_entropy(output, t)
                if targets.shape != spread.shape:
                    raise InvalidInput(
                        f"The network's output has classes at positions of shape {tuple(spread.shape)}, the held-out "
                        f"labels have shape {tuple(targets.shape)}; give one class index for each position."
                    )
                # A label that is no class, 255 for void, is never right.
                right = output.argmax(1) == targets.to(output.device)
                entropy[t - 1] += spread[right].sum(dtype=torch.float64).cpu()
                correct[t - 1] += right.sum().cpu()

            # Outputs are looked at as they come: all steps of a map would be larger than the network.
            simulate(replace(network, exit=None), batch, at=[network.T], count=False, observe=learn)
        # Where nothing is right yet nothing is known: as unsure as can be.
        mean = torch.where(correct > 0, entropy / correct.clamp(min=1), 1.0)
        return replace(network, exit=exit_bars(mean.tolist(), self.base, self.scale, self.delta, self.sign))
