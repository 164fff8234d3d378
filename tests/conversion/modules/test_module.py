"""A converted network as a module: the spikes of `simulate`, and the habits of every other module."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import snntorch.surrogate
import torch
from spikingjelly.activation_based import surrogate as spikingjelly_surrogate
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from conversion import InvalidInput, SpikingModule, SpikingNetwork, capture, convert, simulate
from conversion.modules.neurons import Neurons
from conversion.modules.surrogate import triangle, with_gradient
from conversion.simulation.neuron import Layer, Neuron
from tests.conversion.toys import seeded

IMAGES = seeded((6, 3, 8, 8), 0, torch.float64)


def classifier() -> nn.Module:
    """A shared residual branch, batch norm and a maximum pooling."""
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(24, 4),
        )
        .double()
        .eval()
    )  # fmt: skip


def converted(method: str = "burst", **options: Any) -> SpikingNetwork:
    graph = capture(classifier(), IMAGES[:1])
    options = {"phi": 2, **options} if method == "burst" else options
    held_out = (IMAGES, torch.zeros(len(IMAGES), dtype=torch.long))
    return convert(graph, IMAGES, method, T=4, held_out=held_out, **options)


METHODS: list[tuple[str, dict[str, Any]]] = [
    ("burst", {"phi": 4}), ("burst", {"phi": 4, "signed": True}), ("calibration", {}), ("snm", {}), ("ltb", {}),
    ("adafire_iat", {}), ("held", {}), ("sigma_delta", {"wait": 1}), ("hmt", {}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options"), METHODS, ids=str)
def test_it_answers_as_the_simulation_does(method: str, options: dict[str, Any]) -> None:
    network = converted(method, **options)
    module, expected = SpikingModule(network), simulate(network, IMAGES)
    assert torch.equal(module(IMAGES), expected.mean(4))
    assert module.steps is not None and torch.equal(module.steps, expected.steps)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(IMAGES), expected.mean(4))
    assert torch.equal(simulate(module.network, IMAGES).mean(4), expected.mean(4))


def test_frames_are_one_input_for_each_step() -> None:
    network, frames = converted(), torch.stack([IMAGES, 2 * IMAGES, IMAGES / 2, -IMAGES])
    assert torch.equal(SpikingModule(network)(frames), simulate(network, list(frames)).mean(4))
    assert torch.equal(SpikingModule(network)(IMAGES.numpy()), simulate(network, IMAGES).mean(4))
    with pytest.raises(InvalidInput, match="3 frames for T = 4"):
        SpikingModule(network)(frames[:3])


@pytest.mark.slow
def test_a_state_carries_all_that_was_trained() -> None:
    module, other = SpikingModule(converted(), triangle), SpikingModule(converted(), triangle)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for images, labels in DataLoader(TensorDataset(IMAGES, torch.arange(6) % 4), batch_size=3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    assert not torch.equal(module(IMAGES), other(IMAGES))
    other.load_state_dict(module.state_dict())
    assert torch.equal(module(IMAGES), other(IMAGES))
    trained = module.network
    assert torch.equal(simulate(trained, IMAGES).mean(4), module(IMAGES).detach())
    assert len(trained.weights) == 6  # Weight and bias of three layers; the network that was given keeps its own.
    assert torch.equal(simulate(converted(), IMAGES).mean(4), SpikingModule(converted())(IMAGES))


def test_hooks_see_every_step_of_a_layer() -> None:
    module = SpikingModule(converted(phi=2))
    spikes: list[Tensor] = []
    layer = module.neurons["relu"]
    assert isinstance(layer, Neurons)
    layer.register_forward_hook(lambda _, __, output: spikes.append(output / layer.threshold.view(1, -1, 1, 1)))
    module(IMAGES)
    counts = simulate(module.network, IMAGES).counts
    assert counts is not None and len(spikes) == 4
    assert torch.stack(spikes).sum((0, 2, 3, 4)).round().tolist() == counts.tally[0, -1, :, 0].tolist()
    assert layer.state is not None and layer.state.shape == spikes[0].shape
    module.reset()
    assert layer.state is None


def test_precision_of_weights_and_of_potentials() -> None:
    """Potentials and thresholds stay at float32 or better, whatever the weights are cast to."""
    module = SpikingModule(converted())
    expected = module(IMAGES)
    assert module.to(torch.bfloat16)(IMAGES).dtype == torch.bfloat16
    layer = module.neurons["relu"]
    assert isinstance(layer, Neurons) and layer.threshold.dtype == torch.float64 == layer.bias.dtype
    assert layer.state is not None and layer.state.dtype == torch.float32
    # bfloat16 keeps 8 bits: outputs that 24 products lead to differ by a few percent of the largest.
    assert (module(IMAGES).double() - expected).abs().max() < 0.2 * expected.abs().max()
    assert module.double()(IMAGES).dtype == torch.float64


def test_a_surrogate_is_a_function() -> None:
    network = converted("burst", phi=2)
    with pytest.raises(InvalidInput, match=r"A surrogate is a function, .* and this is 'triangle'"):
        SpikingModule(network, "triangle")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "surrogate", [triangle, spikingjelly_surrogate.ATan(), snntorch.surrogate.fast_sigmoid()], ids=["ours", "sj", "snn"]
)
def test_gradients_leave_the_spikes_as_they_are(surrogate: Any, signed: bool) -> None:
    network = converted(phi=3, signed=signed)
    module = SpikingModule(network, surrogate)
    output = module(IMAGES)
    torch.testing.assert_close(output, simulate(network, IMAGES).mean(4), rtol=1e-12, atol=1e-12)
    output.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in module.parameters())


@pytest.mark.parametrize("signed", [False, True])
def test_the_gradient_of_a_burst_is_that_of_a_relu(signed: bool) -> None:
    """With the triangle, half a threshold ahead: slope 1 where 1 to phi spikes are fired, 0 a step beyond."""
    neuron = Neuron(torch.ones(1), 4, torch.zeros(1), signed=signed)
    current = torch.tensor([-1.5, 1.3, 2.4, 3.4, 7.0], dtype=torch.float64, requires_grad=True)
    expected = Layer(neuron, 1, 1).step(current.detach()[None])[0]
    layer = Layer(neuron, 1, 1)
    layer.update = with_gradient(neuron, triangle)
    output = layer.step(current[None])[0]
    assert torch.equal(output, expected)
    (gradient,) = torch.autograd.grad(output.sum(), current)
    torch.testing.assert_close(gradient, torch.tensor([0, 1, 1, 1, 0], dtype=torch.float64))


def test_neurons_without_gradients_say_what_to_do_instead() -> None:
    with pytest.raises(InvalidInput, match="code 'held'; tune it with the method 'held_tuned'"):
        SpikingModule(converted("held"), triangle)
    with pytest.raises(InvalidInput, match="Convert with 'burst'"):
        SpikingModule(converted("snm"), triangle)


def test_no_gradients_are_kept_where_none_are_wanted() -> None:
    module = SpikingModule(converted())
    assert not module(IMAGES).requires_grad
    assert not any(weight.requires_grad for weight in module.weights.values())
    with torch.no_grad():
        assert not SpikingModule(converted(), triangle)(IMAGES).requires_grad


def test_a_module_says_what_it_is() -> None:
    text = repr(SpikingModule(converted(phi=4)))
    assert "T=4" in text and "(relu): Neurons(threshold=" in text and "phi=4, code=rate" in text


class Named(nn.Module):
    """Weights with names that containers of parameters have for themselves."""

    keys: Tensor
    values: Tensor
    items: Tensor
    get: Tensor
    pop_: Tensor
    update: Tensor
    training_: Tensor

    def __init__(self) -> None:
        super().__init__()
        for place, name in enumerate(("keys", "values", "items", "get", "pop_", "update", "training_")):
            self.register_parameter(name, nn.Parameter(torch.linspace(0.1, 1.0, 4).double().roll(place)))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(x * self.keys + self.values - self.items)
        return torch.relu(y * self.get + self.pop_ - self.update * self.training_)


def test_weights_of_any_name() -> None:
    x = seeded((5, 4), 0, torch.float64)
    network = convert(capture(Named().eval(), x), x, "burst", T=4, phi=4)
    module = SpikingModule(network)
    assert len(module.state_dict()) == 7 + 2 * 2
    assert torch.equal(module(x), simulate(network, x).mean(4))
    with torch.no_grad():
        module.weights["get_"] *= 2
    assert torch.equal(simulate(module.network, x).mean(4), module(x))
    assert not torch.equal(simulate(network, x).mean(4), module(x))


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["weights.", "neurons."])
def test_a_state_that_is_not_finite_is_refused(part: str, value: float) -> None:
    """Neurons fire finite spikes for infinite currents."""
    module = SpikingModule(converted())
    state = {name: torch.full_like(held, value) if part in name else held for name, held in module.state_dict().items()}
    with pytest.raises(InvalidInput, match=f"'0.{part}.*not finite"):
        nn.Sequential(module).load_state_dict({f"0.{name}": held for name, held in state.items()})
    copy.deepcopy(module).load_state_dict(module.state_dict())


class Masked(nn.Module):
    """Causal weights of a softmax, whose mask is a buffer of -inf above the diagonal."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.triu(torch.full((4, 4), -torch.inf, dtype=torch.float64), 1))
        self.first, self.last = nn.Linear(4, 4, dtype=torch.float64), nn.Linear(4, 2, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        weights = (x[:, :, None] + self.mask).softmax(-1)
        return self.last((weights @ x[:, :, None])[:, :, 0])


def test_a_mask_of_minus_infinity_loads_and_stays_where_it_is() -> None:
    x = seeded((5, 4), 0, torch.float64)
    module = SpikingModule(convert(capture(Masked().eval(), x), x, "burst", T=2, phi=2))
    state = module.state_dict()
    assert state["weights.mask"].isneginf().sum() == 6
    module.load_state_dict(state)
    with pytest.raises(InvalidInput, match=r"'weights\.mask' with values that are not finite"):
        module.load_state_dict(state | {"weights.mask": state["weights.mask"].T})


def test_a_state_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InvalidInput, match="maps names to tensors, and this is of type list"):
        SpikingModule(converted()).load_state_dict([])  # type: ignore[arg-type]


BIAS, THRESHOLD = "neurons.relu.bias", "neurons.relu.threshold"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.update({BIAS: 1.0}), f"'0.{BIAS}' as float, and not as a tensor"),
        (lambda state: state.update({BIAS: state[BIAS].numpy()}), f"'0.{BIAS}' as ndarray, and not"),
        (lambda state: state.update({BIAS: state[BIAS].to_sparse()}), f"'0.{BIAS}' without plain numbers: .*sparse"),
        (lambda state: state.update({BIAS: state[BIAS].to("meta")}), f"'0.{BIAS}' without plain numbers: .*meta"),
        (lambda state: state.update({BIAS: state[BIAS][None]}), rf"'0.{BIAS}' of shape \(1, 6\), and .* \(6,\)"),
        (lambda state: state.update({BIAS: state[BIAS] + 0j}), f"'0.{BIAS}' as torch.complex128, and the module's is"),
        (lambda state: state.update({BIAS: state[BIAS] > 0}), f"'0.{BIAS}' as torch.bool, and the module's is"),
        (lambda state: state[THRESHOLD].zero_(), f"'0.{THRESHOLD}' with values that are not above zero"),
        (lambda state: state[THRESHOLD].neg_(), f"'0.{THRESHOLD}' with values that are not above zero"),
    ],
)
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_of_something_else_is_refused_before_any_of_it_is_taken(change: Any, said: str, assign: bool) -> None:
    module = SpikingModule(converted())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(InvalidInput, match=said):
        nn.Sequential(module).load_state_dict({f"0.{name}": value for name, value in state.items()}, assign=assign)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_state_of_another_precision_is_copied_and_not_assigned() -> None:
    module = SpikingModule(converted())
    state = {name: value.float() for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    assert module.state_dict()[BIAS].dtype == torch.float64
    with pytest.raises(InvalidInput, match=r"as torch\.float32, and the module's is torch\.float64"):
        module.load_state_dict(state, assign=True)
    module.load_state_dict({BIAS: state[BIAS] + 1}, strict=False)
    assert torch.equal(module.state_dict()[BIAS], (state[BIAS] + 1).double())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        (BIAS, None, f"lacks '{BIAS}'; it is of another network"),
        (None, "x", "has 'x', which is none of the module's"),
        (THRESHOLD, f"{THRESHOLD}s", f"lacks '{THRESHOLD}'"),
    ],
)
def test_a_state_with_other_names_is_refused_before_any_of_it_is_taken(
    name: str | None, other: str | None, said: str
) -> None:
    module = SpikingModule(converted())
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {key: value + 1 for key, value in before.items() if key != name}
    if other is not None:
        state[other] = torch.ones(6)
    with pytest.raises(InvalidInput, match=said):
        module.load_state_dict(state)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    around = nn.Sequential(module)  # torch loads what has a name, and then says which have none.
    with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key"):
        around.load_state_dict({f"0.{key}": value for key, value in state.items()})
