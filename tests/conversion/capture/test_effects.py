"""Networks with side effects are captured as what they compute, or refused."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.capture.export import capture
from conversion.errors import UnsupportedOp

Forward = Callable[[Any, Tensor, Tensor], Tensor]


class Odd(nn.Module):
    """A convolution, something odd with its result, and a rectifier."""

    def __init__(self, odd: Forward) -> None:
        super().__init__()
        self.odd = odd
        self.conv = nn.Conv2d(3, 4, 1)
        self.register_buffer("state", torch.linspace(-1.0, 2.0, 4).view(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.odd(self, self.conv(x), x))


def counted(model: Any, y: Tensor, x: Tensor) -> Tensor:
    model.state.add_(1)
    return y * model.state


def averaged(model: Any, y: Tensor, x: Tensor) -> Tensor:
    before, model.state = model.state, 0.5 * model.state
    return y * before


def forgotten(model: Any, y: Tensor, x: Tensor) -> Tensor:
    y = y * model.state
    model.state.zero_()
    return y


def through_a_view(model: Any, y: Tensor, x: Tensor) -> Tensor:
    model.state[0] += 1.0
    return y * model.state


def rebound(model: Any, y: Tensor, x: Tensor) -> Tensor:
    other = torch.zeros(4, 1, 1).set_(model.state).mul_(2)
    return y * other * model.state


def transposed(model: Any, y: Tensor, x: Tensor) -> Tensor:
    result: Tensor = torch.einsum("abcd->abdc", y).mul_(2) + y
    return result


def transposed_late(model: Any, y: Tensor, x: Tensor) -> Tensor:
    seen = torch.einsum("abcd->abdc", y)
    y.mul_(2)
    return seen + y


def assigned(model: Any, y: Tensor, x: Tensor) -> Tensor:
    y.data = y * 2
    return y


def drawn(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y + torch.rand(4, 1, 1)


def drawn_in_place(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y + torch.empty(4, 1, 1).uniform_()


def dropped(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * F.dropout(model.state)


def shuffled(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y.index_select(1, torch.randperm(4))


@pytest.mark.parametrize("odd", [counted, averaged, forgotten, through_a_view, rebound])
def test_a_network_that_depends_on_earlier_calls_is_refused(odd: Forward) -> None:
    with pytest.raises(UnsupportedOp, match=r"changes its 'state' at .*test_effects.*clone"):
        capture(Odd(odd).eval(), torch.randn(2, 3, 2, 2))


@pytest.mark.parametrize("odd", [transposed, transposed_late])
def test_a_view_that_torch_does_not_know_is_not_overwritten(odd: Forward) -> None:
    with pytest.raises(UnsupportedOp, match=r"overwrites.*einsum.*clone"):
        capture(Odd(odd).eval(), torch.randn(2, 3, 2, 2))


def test_an_assignment_to_data_is_refused() -> None:
    with pytest.raises(UnsupportedOp, match=r"assigns to \.data"):
        capture(Odd(assigned).eval(), torch.randn(2, 3, 2, 2))


def scaled_by_python(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * random.random()


def shifted_by_numpy(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y + torch.from_numpy(np.random.rand(4, 1, 1)).float()


def chosen_by_python(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * 2 if random.choice((False, True)) else y


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        (scaled_by_python, "Python's random"),
        (chosen_by_python, "Python's random"),
        (shifted_by_numpy, r"numpy\.random"),
    ],
)
def test_numbers_of_other_generators_are_no_constants(odd: Forward, name: str) -> None:
    with pytest.raises(UnsupportedOp, match=f"draws random numbers of {name}"):
        capture(Odd(odd).eval(), torch.randn(2, 3, 2, 2))


def of_its_own_generator(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * float(np.random.default_rng().normal())


def of_the_system(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y + int.from_bytes(os.urandom(4)) / 2**32


def of_a_clock(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * (time.perf_counter_ns() % 1_000_003)


def of_a_counter(model: Any, y: Tensor, x: Tensor) -> Tensor:
    model.calls = getattr(model, "calls", 0) + 1
    return y * model.calls


@pytest.mark.parametrize("odd", [of_its_own_generator, of_the_system, of_a_clock, of_a_counter])
def test_a_network_that_answers_otherwise_the_next_time_is_refused(odd: Forward) -> None:
    with pytest.raises(UnsupportedOp, match="another output when it is called again"):
        capture(Odd(odd).eval(), torch.rand(2, 3, 4, 4))


def counted_aside(model: Any, y: Tensor, x: Tensor) -> Tensor:
    model.calls = getattr(model, "calls", 0) + 1
    return y * 2


def test_calls_may_be_counted_where_the_answer_is_the_same() -> None:
    model, x = Odd(counted_aside).eval(), torch.rand(2, 3, 4, 4)
    graph = capture(model, x)
    assert not hasattr(model, "calls")  # The caller's network is not called.
    torch.testing.assert_close(graph.run(x), model(x))


def test_a_capture_draws_no_numbers_of_its_own() -> None:
    model, before = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval(), (random.getstate(), torch.get_rng_state())
    capture(model, torch.ones(2, 4))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def unwritten(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y + torch.empty(4, 1, 1)


def half_written(model: Any, y: Tensor, x: Tensor) -> Tensor:
    found = torch.empty(4, 1, 1)
    found[::2] = 1.0
    return y + found


def unwritten_truth(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * torch.empty(4, 1, 1, dtype=torch.bool)


def unwritten_sign(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * (torch.empty(4, 1, 1) > 1)


def unwritten_in_bounds(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * (torch.empty(4, 1, 1).clamp(-1, 0) + 1)


def unwritten_and_cancelled(model: Any, y: Tensor, x: Tensor) -> Tensor:
    """Memory may hold NaN, which times nothing is NaN."""
    return y * (torch.empty(4, 1, 1) * 0 + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [unwritten, half_written, unwritten_truth, unwritten_sign, unwritten_in_bounds, unwritten_and_cancelled],
)
def test_memory_that_nothing_has_written_is_no_constant(odd: Forward) -> None:
    with pytest.raises(UnsupportedOp, match=r"at .*test_effects.* reads memory that was never written.*torch\.zeros"):
        capture(Odd(odd).eval(), torch.randn(2, 3, 2, 2))


def written_later(model: Any, y: Tensor, x: Tensor) -> Tensor:
    """A mask as CLIP makes it, and a table that two assignments fill."""
    table = torch.empty(4, 1, 1)
    table[::2], table[1::2] = torch.ones(2, 1, 1), model.state[:2]
    above = torch.empty(2, 2).fill_(-1.0).triu_(1)
    return y * table + above


def literal(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None] + torch.tensor(0.5)


def literal_like_the_input(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * x.new_tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)


def literal_that_changes(model: Any, y: Tensor, x: Tensor) -> Tensor:
    """Made anew in every call, and changed in it, through a view, too."""
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0])
    before = scale.clone()
    scale[:2].mul_(3)
    y = y * (before + scale)[:, None, None]
    scale.sub_(1)
    return y + scale[:, None, None]


KEPT = torch.ones(4)


def global_that_changes(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y * KEPT.add_(1)[:, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("odd", [literal, literal_like_the_input, literal_that_changes])
def test_tensors_written_in_the_code_are_constants(odd: Forward) -> None:
    model, x = Odd(odd).double().eval(), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    graph = capture(model, x)
    assert torch.allclose(graph.run(x), model(x), rtol=0, atol=1e-12)
    assert torch.equal(graph.run(x), graph.run(x))


def test_a_tensor_of_the_module_that_changes_is_no_constant() -> None:
    with pytest.raises(UnsupportedOp, match="the same input gives another output in the next call"):
        capture(Odd(global_that_changes).eval(), torch.randn(2, 3, 2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("odd", [drawn, drawn_in_place, dropped, shuffled])
def test_constants_that_are_drawn_in_every_call_are_refused(odd: Forward) -> None:
    with pytest.raises(UnsupportedOp, match="draws random numbers"):
        capture(Odd(odd).eval(), torch.randn(2, 3, 2, 2))


def compared(model: Any, y: Tensor, x: Tensor) -> Tensor:
    positive = (model.state * 1).gt_(0.0)
    return y * (positive + positive)


def squared(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return y - (model.state * 1).pow_(2)


def halved(model: Any, y: Tensor, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.float16):
        return F.conv2d(y, torch.eye(4)[:, :, None, None], torch.ones(4)).float()


def counted_for_itself(model: Any, y: Tensor, x: Tensor) -> Tensor:
    model.state.add_(1)
    return y


def einsum_alone(model: Any, y: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("abcd->abdc", y) + torch.einsum("abcd,ed->abce", y, torch.ones(2, 2)).mul_(2)


@pytest.mark.slow
@pytest.mark.parametrize("odd", [compared, squared, halved, counted_for_itself, einsum_alone, written_later])
def test_what_has_a_pure_form_is_captured_as_it_computes(odd: Forward) -> None:
    model = Odd(odd).eval()
    graph = capture(model, torch.randn(2, 3, 2, 2))
    for count in (1, 5):
        x = torch.randn(count, 3, 2, 2)
        # Half precision has 11 bits, of sums of a few terms near one.
        torch.testing.assert_close(graph.run(x), model(x), rtol=4e-3, atol=4e-3)
