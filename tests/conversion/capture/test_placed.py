"""Slices that are filled by hand, places that are taken by lists: what people write, what it costs, what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conversion import UnsupportedOp, capture, convert, simulate
from conversion.capture.roles import packet
from conversion.counting.fanout import connect

Forward = Callable[[Tensor, Tensor], Tensor]


class Placed(nn.Module):
    """A layer of neurons of four channels, what is tried with its output and the input, and a layer of weights."""

    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 1)
        self.function = function
        self.register_buffer("places", torch.tensor([3, 2, 1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.stem(x).relu(), x)


def filled(a: Tensor, x: Tensor) -> Tensor:
    a = a.clone()
    a[:, 1:3] = x[:, :2]
    return a


def one_channel(a: Tensor, x: Tensor) -> Tensor:
    a[:, 1] = x[:, 0]
    return a


def a_number(a: Tensor, x: Tensor) -> Tensor:
    a[:, 1:3, 2:] = 0.5
    return a


def every_second(a: Tensor, x: Tensor) -> Tensor:
    a[:, ::2] = x[:, 2:]
    return a


def broadcast(a: Tensor, x: Tensor) -> Tensor:
    a[:, :, 1:] = x[:, :1, :1]
    return a


def nested(a: Tensor, x: Tensor) -> Tensor:
    a[:, 1:, 2:, ::2] = 2 * x[:, 1:, 2:, ::2]
    return a


def added_to_zeros(a: Tensor, x: Tensor) -> Tensor:
    z = torch.zeros_like(a)
    z[:, :2] = a[:, 2:]
    z[:, 2:] += x[:, :2]
    return z


def into_new_memory(a: Tensor, x: Tensor) -> Tensor:
    z = torch.empty(a.shape[0], 4, 6, 6)
    z[:, :2] = a[:, 2:]
    z[:, 2:] = x[:, :2]
    return z


def into_memory_alike(a: Tensor, x: Tensor) -> Tensor:
    z = torch.empty_like(a)
    z[:, 0::2] = a[:, 2:]
    z[:, 1::2] = x[:, :2]
    return z


def framed(a: Tensor, x: Tensor) -> Tensor:
    z = torch.full_like(torch.cat([a, a[:, :2]], 1), 0.25)
    z[:, 1:5] = a
    return z


def in_double(a: Tensor, x: Tensor) -> Tensor:
    a[:, 1:3] = x[:, :2].double()
    return a


def in_place(a: Tensor, x: Tensor) -> Tensor:
    a[:, :2].mul_(2.0)
    return a


def by_list(a: Tensor, x: Tensor) -> Tensor:
    return a[:, [3, -3, 1]]


def by_two_lists(a: Tensor, x: Tensor) -> Tensor:
    return a[:, :, [0, 1, 2], [3, 2, 1]]


def by_table(a: Tensor, x: Tensor) -> Tensor:
    return a[:, [[3, 2], [1, 0]]]


def by_mask(a: Tensor, x: Tensor) -> Tensor:
    return a[:, torch.tensor([True, False, True, True])]


def put(a: Tensor, x: Tensor) -> Tensor:
    a[:, [3, 1]] = x[:, :2]
    return a


def copied(a: Tensor, x: Tensor) -> Tensor:
    return a.index_copy(1, torch.tensor([3, 2, 1]), x[:, :3])


def gathered(a: Tensor, x: Tensor) -> Tensor:
    return torch.gather(a, 1, torch.tensor([3, 0]).view(1, 2, 1, 1).expand(a.shape[0], 2, 6, 6))


def scattered(a: Tensor, x: Tensor) -> Tensor:
    return torch.scatter(a, 1, torch.tensor([3, 0]).view(1, 2, 1, 1).expand(a.shape[0], 2, 6, 6), x[:, :2])


def masked(a: Tensor, x: Tensor) -> Tensor:
    return a.masked_fill(torch.tensor([True, False, True, True]).view(4, 1, 1), 0.25)


def chosen(a: Tensor, x: Tensor) -> Tensor:
    return torch.where(torch.tensor([True, False, True, True]).view(4, 1, 1), a, x)


def chosen_or_number(a: Tensor, x: Tensor) -> Tensor:
    return torch.where(torch.tensor([True, False, True, True]).view(4, 1, 1), a, 0.25)


WRITTEN = [
    filled, one_channel, a_number, every_second, broadcast, nested, added_to_zeros, into_new_memory, into_memory_alike,
    framed, in_double, in_place, by_list, by_two_lists, by_table, by_mask, put, copied, gathered, scattered, masked,
    chosen, chosen_or_number,
]  # fmt: skip


@pytest.mark.parametrize("function", WRITTEN, ids=lambda function: function.__name__)
def test_what_is_written_is_what_is_captured(function: Forward) -> None:
    """For another number of samples than the example's; in time, the mean of what is moved is moved."""
    torch.manual_seed(0)
    network = Placed(function).eval()
    x = torch.rand(3, 4, 6, 6)
    graph = capture(network, x[:1])
    wanted = network(x).detach()
    torch.testing.assert_close(graph.run(x), wanted)
    # Each of 640 levels of a channel is 1/640 of its largest value, and weights follow none of them here.
    readout = simulate(convert(graph, x, "burst", T=64, phi=10, signed=True, thresholds="max", light=False), x)
    assert float((readout.mean(64) - wanted).abs().max()) <= float(network.stem(x).detach().max()) / 320


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (filled, [5, 0, 0, 5]), (a_number, [5, (5 * 2) / 6, (5 * 2) / 6, 5]), (by_list, [0, 10, 0, 5]),
        (put, [5, 0, 5, 0]), (masked, [0, 5, 0, 0]), (chosen, [5, 0, 5, 5]), (chosen_or_number, [5, 0, 5, 5]),
        (added_to_zeros, [0, 0, 5, 5]), (gathered, [5, 0, 0, 5]), (scattered, [0, 5, 5, 0]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)  # fmt: skip
def test_a_spike_is_counted_where_it_goes(function: Forward, wanted: list[float]) -> None:
    """For each channel the mean over places; five weights read each place, and what is overwritten goes nowhere."""
    places = 3 if function is by_list else 2 if function is gathered else 4
    network = nn.Sequential(Placed(function), nn.Conv2d(places, 5, 1)).eval()
    graph = capture(network, torch.rand(1, 4, 6, 6))
    fan_out = connect(graph, graph.firing).fan_out[graph.firing[0]]
    torch.testing.assert_close(fan_out.mean((1, 2)), torch.tensor(wanted, dtype=torch.float64))


def test_channels_are_followed_through_lists() -> None:
    """Behind them an activation has a threshold for each of its channels."""
    network = nn.Sequential(Placed(lambda a, x: a[:, [3, 0, 1]]), nn.ReLU()).eval()
    graph = capture(network, torch.rand(1, 4, 6, 6))
    assert [graph.channels(node) for node in graph.firing] == [4, 3]
    assert [packet(node).__name__ for node in graph.body if packet(node).__name__ == "index"] == ["index"]


def half_written(a: Tensor, x: Tensor) -> Tensor:
    z = torch.empty(a.shape[0], 4, 6, 6)
    z[:, :2] = a[:, 2:]
    return z


def first_sample(a: Tensor, x: Tensor) -> Tensor:
    return a.index_put((torch.tensor([0]),), torch.zeros(1))


def sample_of_a_list(a: Tensor, x: Tensor) -> Tensor:
    return a[[0]]


def one_sample(a: Tensor, x: Tensor) -> Tensor:
    a[0] = x[0]
    return a


def by_condition(a: Tensor, x: Tensor) -> Tensor:
    return torch.where(a > 0.5, a, x)


def added_up(a: Tensor, x: Tensor) -> Tensor:
    return a.index_put((torch.tensor([0]), torch.tensor([1])), torch.ones(1), accumulate=True)


def rolled(a: Tensor, x: Tensor) -> Tensor:
    """With two samples nothing moves."""
    return a.roll(2, 0)


def twice_into_one_place(a: Tensor, x: Tensor) -> Tensor:
    z = torch.zeros_like(a)
    z[:, [1, 1, 2, 3]] = a
    return z


def copied_into_one_place(a: Tensor, x: Tensor) -> Tensor:
    return torch.zeros_like(a).index_copy(1, torch.tensor([1, 1, 0, 0]), a)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (rolled, "does with a sample what its place in the batch says"),
        (twice_into_one_place, "puts several values into one place"),
        (copied_into_one_place, "puts several values into one place"),
        (half_written, "reads memory that was never written"),
        (first_sample, "does with a sample what its place in the batch says"),
        (sample_of_a_list, "mixes the samples of a batch"),
        (one_sample, "mixes the samples of a batch"),
        (by_condition, "aten.gt.Scalar .* has no rule"),
        (added_up, "aten.index_put.default .* has no rule for accumulate=True"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_refused(function: Forward, said: str) -> None:
    with pytest.raises(UnsupportedOp, match=said):
        capture(Placed(function).eval(), torch.rand(1, 4, 6, 6))


class Bytes(nn.Module):
    """Memory that is written later, before any layer, of an image in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        scaled = x.float() / 255
        turned = torch.empty_like(scaled)
        turned[:, 0] = scaled[:, 2]
        turned[:, 1:] = scaled[:, :2]
        return torch.relu(self.layer(turned))


def test_an_image_in_bytes_may_be_written_over() -> None:
    network, x = Bytes().eval(), torch.randint(0, 256, (3, 3, 4, 4), dtype=torch.uint8)
    torch.testing.assert_close(capture(network, x[:1]).run(x.float()), network(x))


def test_memory_that_is_written_later_may_hold_anything() -> None:
    """With deterministic algorithms torch fills it with NaN."""
    network, x = Placed(into_memory_alike).eval(), torch.rand(3, 4, 6, 6)
    torch.use_deterministic_algorithms(True)
    try:
        torch.testing.assert_close(capture(network, x[:1]).run(x), network(x).detach())
    finally:
        torch.use_deterministic_algorithms(False)
