"""The checks of converted networks in simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from benchmarks.conformance.kit import Check, DoesNotApply, demand
from benchmarks.conformance.methods import MORE, ROUNDING, MethodBench, same
from conversion import SpikingNetwork, simulate
from conversion.counting.operations import KINDS

T = 2 * MORE
# Samples that are simulated alone and in batches of 5, the last of which is smaller.
SPLIT = 6


@dataclass(frozen=True, eq=False)
class Run:
    """The results of one simulation.

    Attributes:
        outputs: logits after every step, shape (T, N, classes).
        steps: number of steps of each sample, shape (N,).
        tally: cumulated counts, shape (layers, T, N, kinds).
    """

    outputs: Tensor
    steps: Tensor
    tally: Tensor

    @classmethod
    def of(cls, network: SpikingNetwork, images: Tensor, schedule: Literal["step", "sweep"] = "step") -> Run:
        readout = simulate(network, images, schedule=schedule)
        assert readout.counts is not None  # Asked for by default.
        outputs = torch.stack([readout.mean(t) for t in range(1, network.T + 1)])
        return cls(outputs, readout.steps, readout.counts.tally)

    @classmethod
    def together(cls, runs: Sequence[Run]) -> Run:
        """Runs of several batches as one."""
        return cls(
            torch.cat([run.outputs for run in runs], 1), torch.cat([run.steps for run in runs]),
            torch.cat([run.tally for run in runs], 2),
        )  # fmt: skip

    def take(self, samples: Tensor) -> Run:
        return Run(self.outputs[:, samples], self.steps[samples], self.tally[:, :, samples])

    def demand_same(self, other: Run, advice: str) -> None:
        """Raises Failed, naming what differs, unless both runs agree."""
        demand(torch.equal(self.steps, other.steps), f"The number of steps of a sample differs; {advice}")
        demand(same(self.outputs, other.outputs), f"Outputs differ; {advice}")
        demand(same(self.tally, other.tally), f"Counts of spikes or operations differ; {advice}")


@lru_cache(maxsize=1)
def whole_run(bench: MethodBench) -> Run:
    """The run of all images at once, which most checks compare with another."""
    return Run.of(bench.converted(T), bench.fixture.images)


def does_not_mind_the_size_of_batches(bench: MethodBench) -> None:
    """Outputs, steps and counts of a sample are the same in a batch of any size."""
    network, images = bench.converted(T), bench.fixture.images
    whole = whole_run(bench)
    for size in (1, 5):
        parts = Run.together([Run.of(network, part) for part in images[:SPLIT].split(size)])
        parts.demand_same(whole.take(torch.arange(SPLIT)), "nothing may depend on the other samples of a batch.")


def does_not_mind_the_order_of_samples(bench: MethodBench) -> None:
    """Outputs, steps and counts of a sample are the same at any place in a batch."""
    network, images = bench.converted(T), bench.fixture.images
    order = torch.arange(len(images)).flip(0)
    Run.of(network, images[order]).demand_same(
        whole_run(bench).take(order), "nothing may depend on where in a batch a sample stands."
    )


def forgets_the_batch_before(bench: MethodBench) -> None:
    """The same batch gives the same again, also after another batch."""
    network, images = bench.converted(T), bench.fixture.images
    half = len(images) // 2
    first = Run.of(network, images[:half])
    advice = "keep no state in the network, in its exit rule or in a global."
    Run.of(network, images[:half]).demand_same(first, advice)
    Run.of(network, images[half:])
    Run.of(network, images[:half]).demand_same(first, advice)


def counts_up(bench: MethodBench) -> None:
    """Counts are whole, at least zero, and never fall; in units of the smallest amplitude they are at least spikes."""
    network = bench.converted(T)
    if not network.neurons:
        raise DoesNotApply("The network has no neurons.")
    tally = whole_run(bench).tally
    demand(bool((tally >= 0).all()), "A count is negative.")
    demand(bool((tally.diff(dim=1) >= -1e-6).all()), "A count falls from one step to the next.")
    for kind, counted in zip(KINDS, tally.unbind(-1), strict=True):
        plain = {"units": "spikes", "synops_smallest": "synops_unary"}.get(kind)
        if plain is None:
            demand(same(counted, counted.round()), f"A count of {kind} is no whole number.")
        else:  # Amplitudes need not be multiples of the smallest.
            least = tally[..., KINDS.index(plain)]
            demand(
                bool((counted >= least * (1 - ROUNDING)).all()),
                f"There are fewer {kind} than {plain}; `amplitudes` of the code has to name its smallest.",
            )


def charges_for_waiting(bench: MethodBench) -> None:
    """Neurons that wait, or try first, delay the answer; without early exit each is updated at every step it takes."""
    network = replace(bench.converted(T), exit=None)
    counts = simulate(network, bench.fixture.images).counts
    assert counts is not None  # Asked for by default.
    if not network.waits:
        demand(counts.delay == 0, f"No neuron waits, yet answers come {counts.delay} steps late.")
        raise DoesNotApply("No neuron waits for its input.")
    # The input of the first layer is known from the start.
    first, *others = network.neurons.values()
    waits = [first.rehearsal, *(neuron.delay(network.T) for neuron in others)]
    demand(
        counts.delay == sum(waits),
        f"Behind {len(waits)} layers that wait {waits} steps, answers come {counts.delay} steps late.",
    )
    layers = zip(counts.neurons, network.neurons.values(), strict=True)
    expected = sum(n * (network.T + neuron.rehearsal) for n, neuron in layers)
    demand(bool((counts.updates(network.T) == expected).all()), f"Not all samples have {expected} updates of neurons.")


def stops_counting_when_a_sample_leaves(bench: MethodBench) -> None:
    """Until it leaves a sample has the outputs and counts it has without early exit; from then on they stand still."""
    network, images = bench.converted(T), bench.fixture.images
    if network.exit is None:
        raise DoesNotApply("The method lets no sample leave early.")
    left, stayed = whole_run(bench), Run.of(replace(network, exit=None), images)
    demand(bool(((left.steps >= 1) & (left.steps <= network.T)).all()), f"A sample takes steps outside 1..{network.T}.")
    # By step, the step of the run without early exit that has the same outputs and counts.
    reached = torch.arange(1, network.T + 1)[:, None].minimum(left.steps.cpu()) - 1
    samples = torch.arange(len(images))
    expected = Run(stayed.outputs[reached, samples], left.steps, stayed.tally[:, reached, samples])
    left.demand_same(expected, "an exit rule looks at outputs and changes nothing.")


def gives_the_same_in_both_schedules(bench: MethodBench) -> None:
    """Step after step or layer after layer, the same outputs and counts."""
    network, images = replace(bench.converted(T), exit=None), bench.fixture.images
    stayed = Run.of(network, images) if bench.converted(T).exit is not None else whole_run(bench)
    Run.of(network, images, "sweep").demand_same(
        stayed, "layers may not know of each other but by the spikes they send."
    )


CHECKS: tuple[Check[MethodBench], ...] = (
    does_not_mind_the_size_of_batches, does_not_mind_the_order_of_samples, forgets_the_batch_before, counts_up,
    charges_for_waiting,
    stops_counting_when_a_sample_leaves, gives_the_same_in_both_schedules,
)  # fmt: skip
