"""The best of several methods for one network, chosen on samples that none of them was fitted to."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import pandas as pd
from pydantic import Field, model_validator

from conversion.calibration.statistics import Calibration
from conversion.capture.between import encode_between
from conversion.capture.graph import ConversionGraph
from conversion.errors import BenchmarkError, InvalidInput
from conversion.methods.base import METHODS, Method
from conversion.methods.burst import Burst
from conversion.methods.codes import HeldValue, PhaseCode, SigmaDelta
from conversion.simulation.network import SpikingNetwork
from conversion.stages import Stage
from conversion.stages.energy_target import measure

Codes = Literal["rate", "causal", "any"]
LOG = logging.getLogger(__name__)
# An error that is this much smaller on samples that a conversion was fitted to than on others says that there were
# too few. With enough the two differ by chance, by some percent of themselves.
FITTED_TOO_CLOSELY = 0.8
# Candidates are fitted to no more samples than this; their order hardly depends on more.
FITTED = 256


@dataclass(frozen=True)
class Trial:
    """One candidate.

    Attributes:
        method: the method with its options.
        error: mean distance of the outputs from the ANN's on samples that it was not fitted to, relative to these.
        share: energy as a share of the ANN's, one accumulation for each spike.
        fitted: the same on as many samples that it was fitted to; measured of the best alone.
        fault: why it cannot be applied; the figures are then NaN.
    """

    method: Method
    error: float = float("nan")
    share: float = float("nan")
    fitted: float = float("nan")
    fault: str = ""


@dataclass(frozen=True)
class Choice:
    """What `choose` found.

    Attributes:
        network: the network, converted by the best method with all calibration samples.
        best: the trial of that method.
        trials: every candidate, in the order in which they were tried.
        said: sentences on what was chosen, what limits it, and what would help.
    """

    network: SpikingNetwork
    best: Trial
    trials: tuple[Trial, ...]
    said: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each candidate, the best first: method, error, share of the ANN's energy, fault."""
        rows = [(trial.method.label, trial.error, trial.share, trial.fault) for trial in self.trials]
        table = pd.DataFrame(rows, columns=["method", "error", "share", "fault"])
        return table.sort_values(["error", "share"], ignore_index=True, na_position="last")


def choose(
    graph: ConversionGraph, calibration: Calibration, T: int, *, energy: float | None = None, error: float = 0.1,
    codes: Codes = "causal", samples: int = 128,
) -> Choice:  # fmt: skip
    """Tries cheap methods on a network, and then variants of the best; converts with the one that does best.

    With `energy` the best errs least within that share of the ANN's energy; otherwise it is the cheapest that errs by
    no more than `error`. Where none does, it is the one that comes nearest. Candidates are fitted to the first 256
    calibration samples and measured on held-out ones, or, where there are none, on a quarter of the calibration
    samples, which they do not see until one is chosen. No label is looked at.

    Args:
        graph: the captured ANN.
        calibration: training samples.
        T: number of timesteps.
        energy: share of the ANN's energy, with one accumulation for each spike.
        error: distance of the outputs from the ANN's, relative to these.
        codes: "rate" tries bursts alone; "causal" held values, too, whose receivers keep a value between steps; "any"
            also codes for which layers wait, whose answer comes later.
        samples: the most samples to measure on.

    Raises:
        InvalidInput: an aim is no positive number; the calibration set has fewer than 4 samples and nothing is held
            out; or no candidate applies.
    """
    aims = {"error": error} if energy is None else {"energy": energy, "error": error}
    for name, aim in aims.items():
        if not 0 < aim < math.inf:
            raise InvalidInput(f"The aim {name} is {aim}; give a positive number, such as 0.1.")
    if samples < 1:
        raise InvalidInput(f"Candidates cannot be compared on {samples} samples; give 1 at least, better 64.")
    if codes not in get_args(Codes):
        raise InvalidInput(f"There are no codes '{codes}'; there are {', '.join(get_args(Codes))}.")
    fit, unseen = _parts(calibration, samples)
    trials: list[Trial] = []
    networks: dict[Method, SpikingNetwork] = {}

    def attempt(methods: Sequence[Method]) -> None:
        for method in methods:
            if all(method != trial.method for trial in trials):
                trials.append(_attempt(method, fit, unseen, T, networks))

    attempt(candidates(codes, graph))
    working = [trial for trial in trials if not trial.fault]
    if not working:
        raise InvalidInput(f"No method can be applied: {trials[0].fault}")
    attempt(variants(_best(working, energy, error).method))
    best = _best([trial for trial in trials if not trial.fault], energy, error)
    LOG.info("chosen: %s", best.method.label)
    closely, _ = measure(networks[best.method], Calibration(graph, fit.inputs[:samples]))
    trials[trials.index(best)] = best = replace(best, fitted=closely)
    network = best.method.convert(graph, calibration, T)
    return Choice(network, best, tuple(trials), tuple(_sentences(best, energy, error, len(fit.inputs))))


def candidates(codes: Codes, graph: ConversionGraph) -> list[Method]:
    """Methods that take seconds each and suit different networks: signed neurons suit deep ones.

    Where layers of weights follow each other with no activation between, each once more with neurons there.
    """
    rate: list[Method] = [Burst(phi=phi, signed=signed) for phi in (4, 15) for signed in (False, True)]
    causal: list[Method] = [HeldValue()]
    waiting: list[Method] = [SigmaDelta(), PhaseCode()]
    methods = rate + causal * (codes != "rate") + waiting * (codes == "any")
    if encode_between(graph) is graph:
        return methods
    return methods + [method.model_copy(update={"between": True}) for method in methods]


def variants(method: Method) -> list[Method]:
    """The method with one option changed."""
    if isinstance(method, Burst):
        assert isinstance(method.phi, int)
        changes: list[dict[str, Any]] = [
            {"phi": 2 * method.phi}, {"phi": method.phi // 2}, {"channelwise": not method.channelwise},
            {"start": "shift"},
        ]  # fmt: skip
    elif isinstance(method, HeldValue):
        changes = [{"energy": factor * method.energy} for factor in (0.0, 0.5, 2.0)]
    else:
        changes = [{"energy": factor * float(getattr(method, "energy", 0.0))} for factor in (0.5, 2.0)]
    return [method.model_copy(update=change) for change in changes]


@METHODS.register("auto")
class Auto(Method):
    """Ours: the best of several cheap methods and their variants, chosen on held-out training samples."""

    energy: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="share of the ANN's energy to stay within; null is the cheapest within `error`",
    )  # fmt: skip
    error: float = Field(
        default=0.1, gt=0, allow_inf_nan=False, description="distance of the outputs from the ANN's, relative to these"
    )
    codes: Codes = Field(
        default="causal", description="bursts alone, held values too, or also codes for which layers wait"
    )

    @property
    def converges(self) -> bool:
        return False  # What is chosen depends on T.

    @model_validator(mode="after")
    def _one_aim(self) -> Auto:
        if self.energy is not None and "error" in self.model_fields_set:
            raise InvalidInput("Give `energy` or `error`, one of the two: the least error within an energy, or the "
                               "least energy within an error.")  # fmt: skip
        return self

    def stages(self) -> tuple[Stage, ...]:
        return (Chosen(self.energy, self.error, self.codes),)


@dataclass(frozen=True)
class Chosen:
    """The stage of `auto`; see `choose`."""

    energy: float | None
    error: float
    codes: Codes

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        choice = choose(
            network.graph, calibration, network.T, energy=self.energy, error=self.error, codes=self.codes
        )  # fmt: skip
        for place, sentence in enumerate(choice.said):
            # The first says what was chosen, all others what is wrong with it.
            LOG.log(logging.WARNING if place else logging.INFO, "%s", sentence)
        return choice.network


def _parts(calibration: Calibration, samples: int) -> tuple[Calibration, Calibration]:
    """The samples that candidates are fitted to, and others."""
    graph, inputs, count = calibration.graph, calibration.inputs, len(calibration.inputs)
    if calibration.held_out is not None:
        own, others = count, calibration.held_out[0][:samples]
    elif count >= 4:
        own = count - min(count // 4, samples)
        others = inputs[own:]
    else:
        raise InvalidInput(
            f"The calibration set has {count} samples, and a quarter of them is needed to compare methods; give 4 at "
            "least, better 64, or name a method."
        )
    own = min(own, FITTED)
    fit = calibration if own == count else Calibration(graph, inputs[:own], seed=calibration.seed)
    return fit, Calibration(graph, others)


def _attempt(
    method: Method, fit: Calibration, unseen: Calibration, T: int, networks: dict[Method, SpikingNetwork]
) -> Trial:
    """Converts by a method, measures the network and adds it to `networks`."""
    try:
        network = networks[method] = method.convert(fit.graph, fit, T)
        error, share = measure(network, unseen)
    except BenchmarkError as fault:
        LOG.info("%s: %s", method.label, fault)
        return Trial(method, fault=str(fault))
    if not all(map(math.isfinite, (error, share))):
        return Trial(method, fault="its outputs or its energy are not finite on the calibration samples")
    LOG.info("%s: error %.3f at %.1f %% of the ANN's energy", method.label, error, 100 * share)
    return Trial(method, error, share)


def _best(trials: Sequence[Trial], energy: float | None, error: float) -> Trial:
    if energy is not None:
        within = [trial for trial in trials if trial.share <= energy]
        return min(within, key=lambda trial: trial.error) if within else min(trials, key=lambda trial: trial.share)
    within = [trial for trial in trials if trial.error <= error]
    return min(within, key=lambda trial: trial.share) if within else min(trials, key=lambda trial: trial.error)


def _sentences(best: Trial, energy: float | None, error: float, count: int) -> list[str]:
    found = (
        f"{best.method.label} errs by {best.error:.3f} of the outputs, at {best.share:.1%} of the ANN's energy, on "
        "samples that it was not fitted to."
    )
    said = [found]
    if energy is not None and best.share > energy:
        said.append(f"No candidate stays within {energy:.1%} of the energy; this is the cheapest.")
    if energy is None and best.error > error:
        said.append(f"No candidate errs by {error:g} or less; this one errs least. More steps help, or codes='any'.")
    if count < FITTED and best.fitted < FITTED_TOO_CLOSELY * best.error:
        said.append(
            f"On the {count} samples that it was fitted to it errs by {best.fitted:.3f}: they are too few, and more "
            "calibration samples would help."
        )
    return said
