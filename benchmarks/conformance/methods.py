"""The checks of methods: of the class, of its conversions, and of the input that it has to refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property

import torch
from torch import Tensor

from benchmarks.conformance import fixtures
from benchmarks.conformance.fixtures import Fixture
from benchmarks.conformance.kit import Check, DoesNotApply, demand, demand_refusal
from benchmarks.references.released import named_method
from benchmarks.suites.cell import Cell
from conversion import SpikingNetwork, simulate
from conversion.errors import BenchmarkError
from conversion.methods import METHODS, Method, make_method

FEW, MORE, MANY = 2, 4, 16
ADVICE = "raise InvalidInput, for instance by conversion.stages.base."
# Relative error below which a conversion need not improve.
NEAR = 0.02
# Tolerance of values in float64 that were computed in another order.
ROUNDING = 1e-6


class MethodBench:
    """A method, and the objects that its checks share: a captured network for it alone, and its conversions."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.converted = cache(self._converted)

    @cached_property
    def fixture(self) -> Fixture:
        return self.new_fixture()

    def new_fixture(self) -> Fixture:
        """A captured network that the method is for, as a new copy."""
        return fixtures.trained_to_be_converted() if self.method.trained else fixtures.convolutional()

    def _converted(self, T: int) -> SpikingNetwork:
        """The fixture's network, converted for T steps."""
        return self.method.convert(self.fixture.graph, self.fixture.calibration(), T)

    def answer(self, T: int) -> Tensor:
        """Logits after the last step of a conversion for T steps in which every sample takes them all."""
        return final(replace(self.converted(T), exit=None), self.fixture.images)


def final(network: SpikingNetwork, images: Tensor) -> Tensor:
    """Logits after the last step."""
    logits: Tensor = simulate(network, images, at=[network.T], count=False).mean(network.T)
    return logits


def says_what_it_is(bench: MethodBench) -> None:
    """The class has a docstring that says what the method is and where it comes from."""
    demand(bool(vars(type(bench.method)).get("__doc__")), f"{type(bench.method).__qualname__} has no docstring.")


def is_called_as_registered(bench: MethodBench) -> None:
    """The attribute `name` is the name that the class is registered under."""
    kind, name = type(bench.method), bench.method.name
    demand(
        name in METHODS and METHODS[name] is kind,
        f'{kind.__qualname__}.name is "{name}", but that name does not lead to it; register it as name says.',
    )


def describes_its_options(bench: MethodBench) -> None:
    """Every option has a description."""
    for option, field in type(bench.method).model_fields.items():
        demand(bool(field.description), f"The option '{option}' has none; write Field(..., description=...).")


def has_defaults_that_it_takes(bench: MethodBench) -> None:
    """An option given at its default is the option left out: the cell has the same identity."""
    method = bench.method
    cell = _cell(method)
    for option, field in type(method).model_fields.items():
        if not field.is_required():
            given = method.model_dump(exclude_defaults=True)
            given.pop(option, None)
            spelt = make_method(method.name, **given, **{option: field.get_default(call_default_factory=True)})
            demand(
                _cell(spelt).id == _cell(make_method(method.name, **given)).id,
                f"The option '{option}' at its default makes another cell; let its default be a value that "
                "validation leaves as it is.",
            )
    again = Cell.model_validate_json(cell.model_dump_json())
    demand(again.id == cell.id, "A cell read from its record has another identity; use options that JSON can hold.")


def is_found_by_its_label(bench: MethodBench) -> None:
    """The label, as tables print it, names the same method on the command line."""
    options = bench.method.model_dump(exclude_defaults=True)
    if any(isinstance(value, list | tuple | dict | set) for value in options.values()):
        raise DoesNotApply("The command line takes no options with several values.")
    name, read = named_method(bench.method.label)
    demand(
        make_method(name, **read) == bench.method,
        f"'{bench.method.label}' is read as {make_method(name, **read)!r}; let options be plain values.",
    )


def leaves_the_network_as_it_was(bench: MethodBench) -> None:
    """A conversion changes neither the captured network nor the calibration set."""
    fixture = bench.new_fixture()
    calibration = fixture.calibration()
    nodes = [(node.format_node(), len(node.users)) for node in fixture.graph.module.graph.nodes]
    tensors = {name: value.clone() for name, value in fixture.graph.module.state_dict().items()}
    samples, answer = calibration.mean_inputs.clone(), fixture.ann
    bench.method.convert(fixture.graph, calibration, MORE)
    after = fixture.graph.module.state_dict()
    for name, before in tensors.items():
        demand(
            name in after and torch.equal(after[name], before),
            f"The network's '{name}' was changed; put tuned weights into SpikingNetwork.weights.",
        )
    demand(
        [(node.format_node(), len(node.users)) for node in fixture.graph.module.graph.nodes] == nodes,
        "The graph was rewritten; other methods are converted from the same one.",
    )
    demand(
        torch.equal(fixture.graph.run(fixture.images), answer),
        "The ANN's outputs changed; other methods are converted from the same graph.",
    )
    demand(torch.equal(calibration.mean_inputs, samples), "The calibration inputs were changed; work on a copy.")


def is_the_sum_of_its_stages(bench: MethodBench) -> None:
    """`stages()`, one after the other, give what `convert` gives: the runner runs them one by one."""
    network, calibration = SpikingNetwork(bench.fixture.graph, MORE), bench.fixture.calibration()
    for stage in bench.method.stages():
        network = stage(network, calibration)
    found = final(replace(network, exit=None), bench.fixture.images)
    demand(
        network.T == bench.converted(MORE).T and same(found, bench.answer(MORE)),
        "They do not; do everything in stages and leave `convert` as it is.",
    )


def repeats_itself(bench: MethodBench) -> None:
    """Equal calibration sets give identical networks, whatever the state of global random generators."""
    fixture, networks = bench.fixture, []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks.append(bench.method.convert(fixture.graph, fixture.calibration(), MORE))
    first, second = (_parameters(network) for network in networks)
    demand(first.keys() == second.keys(), "Two conversions put neurons in other places.")
    for name, value in first.items():
        demand(
            torch.equal(value, second[name]),
            f"{name} differs between two conversions; draw random numbers from a torch.Generator with a fixed seed.",
        )
    demand(networks[0].exit == networks[1].exit, "Two conversions let samples leave by other rules.")


def does_not_mind_the_order_of_calibration(bench: MethodBench) -> None:
    """Calibration samples in another order change the outputs by less than a quarter of the conversion's own error."""
    fixture = bench.fixture
    order = torch.randperm(len(fixture.samples), generator=torch.Generator().manual_seed(0))
    network = bench.method.convert(fixture.graph, fixture.calibration(order), MORE)
    expected = bench.answer(MORE)
    change = float((final(replace(network, exit=None), fixture.images) - expected).norm() / fixture.ann.norm())
    # Learning in random batches depends a little on the order; statistics of the whole set do not.
    allowed = max(fixture.error(expected) / 4, ROUNDING)
    demand(
        change <= allowed,
        f"They change by {change:.2g} of the outputs' norm, {allowed:.2g} allowed; use statistics of the whole set "
        "(Calibration.histograms).",
    )


def uses_T(bench: MethodBench) -> None:
    """A timed method gives another result for another T; one with `timed = False` gives the same."""
    few, more = bench.converted(FEW), bench.converted(MORE)
    alike = same(bench.answer(FEW), bench.answer(MORE))
    if bench.method.timed:
        demand(not alike, f"T={FEW} and T={MORE} give the same outputs; use network.T, or say `timed = False`.")
        for network, T in ((few, FEW), (more, MORE)):
            most = bench.method.steps_taken(T)
            demand(
                most >= network.T,
                f"Converted for T={T}, the network takes {network.T} steps; it may take T, or what `steps_taken` says.",
            )
    else:
        demand(
            alike,
            f"`timed` is False, yet T={FEW} and T={MORE} give different outputs; say `timed = True`.",
        )


def approaches_its_answer(bench: MethodBench) -> None:
    """Within one conversion the error falls from the first step to the last: to half, and below 0.5."""
    network = replace(bench.converted(MANY), exit=None)
    if network.T == 1:
        raise DoesNotApply("The network takes one step.")
    readout = simulate(network, bench.fixture.images, at=[1, network.T], count=False)
    first, last = (bench.fixture.error(readout.mean(t)) for t in (1, network.T))
    demand(
        last <= min(max(first / 2, NEAR), 0.5),
        f"Of the ANN's logits {first:.2f} are off after step 1 and {last:.2f} after step {network.T}; a sum of spikes "
        "times the threshold has to follow the activation.",
    )


def approaches_the_ann(bench: MethodBench) -> None:
    """A conversion for 16 steps has at most half the error of one for 2 steps, or less than 2 %."""
    if not bench.method.timed:
        raise DoesNotApply("The result does not depend on T.")
    if not bench.method.converges:
        raise DoesNotApply("The method says that it does not (`converges` is False).")
    few, many = (bench.fixture.error(bench.answer(T)) for T in (FEW, MANY))
    demand(
        many <= max(few / 2, NEAR),
        f"Of the ANN's logits {few:.3f} are off for T={FEW} and {many:.3f} for T={MANY}; a method that trades "
        "accuracy for energy at any T says `converges = False`.",
    )


def recognises_digits(bench: MethodBench) -> None:
    """On the trained digits network, 8 steps find the ANN's class for more than 60 % of the images."""
    if bench.method.trained:
        raise DoesNotApply("The digits network was not trained for the method.")
    fixture, T = fixtures.trained_digits(), 8
    network = replace(bench.method.convert(fixture.graph, fixture.calibration(), T), exit=None)
    share = float((final(network, fixture.images).argmax(1) == fixture.ann.argmax(1)).double().mean())
    demand(share > 0.6, f"They find it for {100 * share:.0f} %.")


def takes_networks_of_vectors(bench: MethodBench) -> None:
    """A network of linear layers on vectors is converted, or refused in a sentence."""
    _right_or_refused(bench.method, fixtures.vectors)


def takes_leaky_activations(bench: MethodBench) -> None:
    """Activations with negative outputs are converted to signed neurons, or refused in a sentence."""
    _right_or_refused(bench.method, fixtures.leaky)


def refuses_a_network_without_activations(bench: MethodBench) -> None:
    """A network that has no activation is refused with an error that says so."""
    if not bench.converted(MORE).neurons:
        raise DoesNotApply("The method puts no neurons anywhere.")
    fixture = fixtures.linear()
    demand_refusal(
        lambda: bench.method.convert(fixture.graph, fixture.calibration(), MORE), ADVICE + "require_activations()."
    )


def refuses_another_networks_calibration(bench: MethodBench) -> None:
    """A calibration set that was measured on another network is refused."""
    if not bench.method.stages():
        raise DoesNotApply("The method has no stages.")
    other = fixtures.another().calibration()
    demand_refusal(lambda: bench.method.convert(bench.fixture.graph, other, MORE), ADVICE + "require_same_graph().")


def _right_or_refused(method: Method, make: Callable[[], Fixture]) -> None:
    fixture = make()
    try:
        network = method.convert(fixture.graph, fixture.calibration(), MANY)
        logits = final(replace(network, exit=None), fixture.images)
    except BenchmarkError as error:
        raise DoesNotApply(f"Refused: {error}") from None
    # Neurons at the output send no negative values.
    off = fixture.error(logits, rectified=any(node in network.neurons for node in fixture.graph.output_encoders))
    demand(off < 0.5, f"It is converted, but of the ANN's logits {off:.2f} are off; refuse it by InvalidInput.")


def _cell(method: Method) -> Cell:
    options = method.model_dump(exclude_defaults=True)
    return Cell(
        task="digits", network="digits_convnet", method=method.name, options=options, T=MORE, seed=0, calibration=1
    )


def _parameters(network: SpikingNetwork) -> dict[str, Tensor]:
    """Everything that a conversion chose, by what it is."""
    found = {f"The weight {node.name}": weight for node, weight in network.weights.items()}
    for node, neuron in network.neurons.items():
        for name, value in vars(neuron).items():
            if isinstance(value, Tensor | int | float | bool):
                found[f"The {name} of {node.name}"] = torch.as_tensor(value)
    return found


def same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors agree but for rounding."""
    return first.shape == second.shape and bool(torch.isclose(first, second, rtol=ROUNDING, atol=ROUNDING).all())


CHECKS: tuple[Check[MethodBench], ...] = (
    says_what_it_is, is_called_as_registered, describes_its_options, has_defaults_that_it_takes, is_found_by_its_label,
    leaves_the_network_as_it_was, is_the_sum_of_its_stages, repeats_itself, does_not_mind_the_order_of_calibration,
    uses_T, approaches_its_answer, approaches_the_ann, recognises_digits, takes_networks_of_vectors,
    takes_leaky_activations, refuses_a_network_without_activations, refuses_another_networks_calibration,
)  # fmt: skip
