"""Every check of methods fails on a method that is wrong in just that way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field, field_validator
from torch import Tensor

from benchmarks.conformance import methods, simulation
from benchmarks.conformance.kit import judge
from benchmarks.conformance.methods import MethodBench
from conversion import Calibration, SpikingNetwork
from conversion.codes import OneHot
from conversion.counting.fanout import Connectivity
from conversion.methods import METHODS, Ann, Burst, CalibrationIat, Method
from conversion.simulation.exit_rules import EntropyRule
from conversion.simulation.neuron import Neuron
from conversion.stages import BiasCorrection, CodedNeurons, Stage, Thresholds

pytestmark = pytest.mark.slow

counter = itertools.count()


class Sound(Burst):
    """Keeps every promise; what is wrong with the others is what they change."""

    name = "sound"
    phi: int = Field(default=2, description="most spikes per step")


class Mute(Sound):
    name = "sound"


class OtherName(Sound):
    """Registered under another name than its own."""

    name = "burst"


class Undescribed(Sound):
    """An option without a description."""

    steps: int = 3


class UnstableDefault(Sound):
    """A default that validation turns into something else."""

    steps: Any = Field(default=3, description="turned into text")

    @field_validator("steps")
    @classmethod
    def text(cls, steps: Any) -> str:
        return str(steps)


class Unreadable(Sound):
    """An option that the command line cannot write."""

    mark: str = Field(default="a,b", description="with a comma")


class Then(Sound):
    """Sound, and one stage more."""

    change: ClassVar[Stage]

    def stages(self) -> tuple[Stage, ...]:
        return (*super().stages(), type(self).change)


def then(stage: Callable[[SpikingNetwork, Calibration], SpikingNetwork]) -> type[Method]:
    """A method that ends with this stage."""
    return type("Wrong", (Then,), {"__doc__": "Wrong.", "__module__": __name__, "change": staticmethod(stage)})


def each(network: SpikingNetwork, change: Callable[[Neuron], Neuron]) -> SpikingNetwork:
    return network.with_neurons({node: change(neuron) for node, neuron in network.neurons.items()})


def scale_the_weights(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    for parameter in network.graph.module.parameters():
        parameter.data.mul_(1.1)
    return network


def use_global_randomness(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    return each(network, lambda neuron: replace(neuron, threshold=neuron.threshold * (1 + torch.rand(1) / 10)))


def look_at_the_first_sample(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    first = Calibration(network.graph, calibration.mean_inputs[:1])
    return BiasCorrection()(Thresholds("max", phi=2, channelwise=False)(network, first), first)


def always_four_steps(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    return Thresholds(phi=2)(SpikingNetwork(network.graph, 4), calibration)


def as_coarse_at_any_T(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    return each(network, lambda neuron: replace(neuron, threshold=neuron.threshold * network.T))


def current_out_of_nowhere(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
    return each(network, lambda neuron: replace(neuron, bias=neuron.bias + 10 * neuron.threshold))


class Silent(Method):
    """Thresholds that no potential reaches in 8 steps."""

    name = "sound"

    def stages(self) -> tuple[Stage, ...]:
        return (lambda network, _: each(Thresholds("max")(network, _), _far),)


def _far(neuron: Neuron) -> Neuron:
    return replace(neuron, threshold=neuron.threshold * 1000)


class OnlyImages(Sound):
    """Trips over activations that have no height and width."""

    def stages(self) -> tuple[Stage, ...]:
        def stage(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
            for node in network.graph.firing:
                _, _, height, width = node.meta["val"].shape
                assert height and width
            return network

        return (*super().stages(), stage)


class Unsigned(Method):
    """Takes a leaky ReLU for a ReLU."""

    name = "sound"

    def stages(self) -> tuple[Stage, ...]:
        return (lambda n, c: each(Thresholds("max", 4)(n, c), lambda x: replace(x, signed=False, slope=0.0)),)


class ByHand(Method):
    """Thresholds without a look at the calibration set, put wherever there is an activation."""

    name = "sound"

    def stages(self) -> tuple[Stage, ...]:
        def stage(network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
            one = torch.ones(1, dtype=torch.float64)
            return network.with_neurons({node: Neuron(one, 2, 0 * one) for node in network.graph.firing})

        return (stage,)


class Overridden(Sound):
    """Does something in `convert` that no stage does."""

    def convert(self, graph: Any, calibration: Calibration, T: int) -> SpikingNetwork:
        return each(super().convert(graph, calibration, T), lambda neuron: replace(neuron, phi=1))


class Timeless(Sound):
    """Says that T does not matter."""

    timed = False


@dataclass(frozen=True)
class Relative(EntropyRule):
    """Lets the surest half of a batch go."""

    def exits(self, output: Tensor, t: int, earlier: Any) -> Tensor:
        sure = output.amax(1)
        return sure > sure.median()


@dataclass(frozen=True)
class FirstServed(EntropyRule):
    """Lets the first samples of a batch go."""

    def exits(self, output: Tensor, t: int, earlier: Any) -> Tensor:
        return torch.arange(len(output)) < 3


@dataclass(frozen=True)
class Tired(EntropyRule):
    """Lets go whoever comes after the tenth call."""

    def exits(self, output: Tensor, t: int, earlier: Any) -> Tensor:
        return torch.full((len(output),), next(counter) > 10)


@dataclass(frozen=True)
class Meddling(EntropyRule):
    """Turns the outputs of those that leave upside down."""

    def exits(self, output: Tensor, t: int, earlier: Any) -> Tensor:
        done = output.amax(1) > output.amax(1).mean()
        output[done] *= -1
        return done


class Discounted(SpikingNetwork):
    """Counts operations with a minus."""

    @property
    def connectivity(self) -> Connectivity:
        found = super().connectivity
        return replace(found, fan_out={node: -fan_out for node, fan_out in found.fan_out.items()})


class Noisy(SpikingNetwork):
    """Adds noise to every input."""

    def start(self, inputs: Tensor) -> dict[Any, Any]:
        return super().start(inputs + 0.1 * torch.randn_like(inputs))


class Hurried(SpikingNetwork):
    """Its neurons wait for their input, and it says that they do not."""

    @property
    def waits(self) -> bool:
        return False


class Impatient(Method):
    """Powers of two, whose layers wait one step."""

    def stages(self) -> tuple[Stage, ...]:
        return CodedNeurons(OneHot(), wait=1), lambda network, _: Hurried(**vars_of(network))


def exits_by(rule: EntropyRule) -> type[Method]:
    return then(lambda network, _: replace(network, exit=rule))


def becomes(kind: type[SpikingNetwork]) -> type[Method]:
    return then(lambda network, _: kind(**vars_of(network)))


def vars_of(network: SpikingNetwork) -> dict[str, Any]:
    return {name: getattr(network, name) for name in SpikingNetwork.__dataclass_fields__}


TAKEN = "It is not refused and gives SpikingNetwork"
WRONG: dict[Callable[[MethodBench], None], tuple[type[Method], str]] = {
    methods.says_what_it_is: (Mute, "Mute has no docstring"),
    methods.is_called_as_registered: (OtherName, 'name is "burst", but that name does not lead to it'),
    methods.describes_its_options: (Undescribed, "The option 'steps' has none"),
    methods.has_defaults_that_it_takes: (UnstableDefault, "The option 'steps' at its default makes another cell"),
    methods.is_found_by_its_label: (Unreadable, "cannot be read"),
    methods.leaves_the_network_as_it_was: (then(scale_the_weights), "weight' was changed; put tuned weights into"),
    methods.is_the_sum_of_its_stages: (Overridden, "do everything in stages"),
    methods.repeats_itself: (then(use_global_randomness), "The threshold of .* differs between two conversions"),
    methods.does_not_mind_the_order_of_calibration: (then(look_at_the_first_sample), "use statistics of the whole"),
    methods.uses_T: (then(always_four_steps), "T=2 and T=4 give the same outputs; use network.T"),
    methods.approaches_its_answer: (then(current_out_of_nowhere), "off after step 1 and"),
    methods.approaches_the_ann: (then(as_coarse_at_any_T), "off for T=2 and"),
    methods.recognises_digits: (Silent, "They find it for .* %"),
    methods.takes_networks_of_vectors: (OnlyImages, "ValueError in .* not enough values to unpack"),
    methods.takes_leaky_activations: (Unsigned, "It is converted, but of the ANN's logits .* are off"),
    methods.refuses_a_network_without_activations: (ByHand, f"{TAKEN}; raise InvalidInput.*require_activations"),
    methods.refuses_another_networks_calibration: (ByHand, f"{TAKEN}; raise InvalidInput.*require_same_graph"),
    simulation.does_not_mind_the_size_of_batches: (exits_by(Relative(())), "may depend on the other samples"),
    simulation.does_not_mind_the_order_of_samples: (exits_by(FirstServed(())), "where in a batch a sample stands"),
    simulation.forgets_the_batch_before: (exits_by(Tired(())), "keep no state in the network"),
    simulation.charges_for_waiting: (Impatient, "No neuron waits, yet answers come 1 steps late"),
    simulation.counts_up: (becomes(Discounted), "A count is negative"),
    simulation.stops_counting_when_a_sample_leaves: (exits_by(Meddling(())), "looks at outputs and changes nothing"),
    simulation.gives_the_same_in_both_schedules: (becomes(Noisy), "layers may not know of each other"),
}


def test_every_check_has_its_wrong_method() -> None:
    assert set(WRONG) == {*methods.CHECKS, *simulation.CHECKS}


@pytest.mark.parametrize("check", WRONG, ids=lambda check: check.__name__)
def test_the_check_finds_what_is_wrong(check: Callable[[MethodBench], None]) -> None:
    wrong, reason = WRONG[check]
    METHODS.register("sound")(wrong)
    result = judge(check, MethodBench(wrong(**{"mark": "c,d"} if wrong is Unreadable else {})))
    assert result.verdict == "failed", result
    assert re.search(reason, result.reason), result.reason


def test_a_timeless_method_that_uses_T_is_found() -> None:
    METHODS.register("sound")(Timeless)
    assert "say `timed = True`" in judge(methods.uses_T, MethodBench(Timeless())).reason


def test_a_sound_method_passes_what_the_wrong_ones_fail() -> None:
    METHODS.register("sound")(Sound)
    bench = MethodBench(Sound())
    verdicts = {check.__name__: judge(check, bench).verdict for check in WRONG}
    assert {name for name, verdict in verdicts.items() if verdict != "passed"} == {
        "stops_counting_when_a_sample_leaves",
        "charges_for_waiting",
    }


def test_what_does_not_apply_says_why() -> None:
    ann, early = MethodBench(Ann()), MethodBench(CalibrationIat())
    assert judge(simulation.counts_up, ann).verdict == "does not apply"
    assert judge(methods.refuses_a_network_without_activations, ann).reason == "The method puts no neurons anywhere."
    assert judge(simulation.stops_counting_when_a_sample_leaves, early).verdict == "passed"
