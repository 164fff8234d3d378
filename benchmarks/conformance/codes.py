"""The checks of neural codes: what the simulator, the counts and files of converted networks take for granted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass

import torch
from torch import Tensor

from benchmarks.conformance.kit import Check, DoesNotApply, demand
from conversion.codes import CODES, Code, WindowCode

# Numbers of steps, and most spikes of a step, that codes are tried with.
STEPS, SPIKES = (1, 2, 3, 5, 8), (1, 4)
NEAR = 0.25
"""Error of the values told in eight steps, relative to the values."""
ROUNDING = 1e-9
ONE = torch.ones(1, dtype=torch.float64)


class CodeBench:
    """A code at its defaults, and values to tell in it.

    Args:
        kind: the class, as registered.
    """

    def __init__(self, kind: type[Code]) -> None:
        self.kind, self.code = kind, kind()

    def values(self, T: int, phi: int) -> Tensor:
        """Values from far below zero to far beyond the reach of the code."""
        return torch.linspace(-2, 2, 401, dtype=torch.float64) * self.code.reach(T, phi)

    def told(
        self, values: Tensor, T: int, phi: int, *, rectified: bool
    ) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """Each step, with what is sent in it, its spikes, and what is held after it."""
        held = torch.zeros_like(values)
        for t in range(1, T + 1):
            sent = self.code.send(values - held, held, ONE, t, T, phi, rectified)
            held = held + sent.value
            yield t, sent.value, sent.spikes, held


def says_what_it_is(bench: CodeBench) -> None:
    """The class has a docstring that says what a spike means and where the code comes from."""
    # A dataclass without one gets its signature.
    written = vars(bench.kind).get("__doc__") or ""
    demand(bool(written) and not written.startswith(f"{bench.kind.__name__}("), "It has no docstring.")


def is_called_as_registered(bench: CodeBench) -> None:
    """The attribute `name` is the name that the class is registered under."""
    name = bench.kind.name
    demand(
        name in CODES and CODES[name] is bench.kind,
        f'{bench.kind.__qualname__}.name is "{name}", but that name does not lead to it; register it as name says.',
    )


def comes_back_from_a_file(bench: CodeBench) -> None:
    """It is a frozen dataclass of plain values, from which it is made again."""
    frozen = is_dataclass(bench.kind) and bench.kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    demand(frozen, "It is no frozen dataclass; write @dataclass(frozen=True).")
    fields = asdict(bench.code)
    plain = all(isinstance(value, bool | int | float | str) for value in fields.values())
    demand(plain, f"Its fields are {fields}; a file holds numbers, texts and truth values.")
    demand(bench.kind(**fields) == bench.code, "Made again from its fields it is another.")


def keeps_to_its_amplitudes(bench: CodeBench) -> None:
    """Spikes are whole numbers up to phi, and each has an amplitude between the two that `amplitudes` names."""
    for T, phi in itertools.product(STEPS, SPIKES):
        # Only signed codes are asked for values below zero.
        for t, sent, spikes, _ in bench.told(bench.values(T, phi), T, phi, rectified=not bench.code.signed):
            smallest, largest = bench.code.amplitudes(t, T, phi)
            where = f"in step {t} of {T} with phi = {phi}"
            whole = bool((spikes == spikes.round()).all()) and bool((spikes >= 0).all()) and float(spikes.max()) <= phi
            demand(
                whole, f"It fires {spikes.min():g} to {spikes.max():g} spikes {where}; give whole numbers, 0 to phi."
            )
            low, high = spikes * smallest * (1 - ROUNDING), spikes * largest * (1 + ROUNDING)
            within = bool(((low <= sent.abs()) & (sent.abs() <= high)).all())
            demand(within, f"A spike has another amplitude than {smallest:g} to {largest:g} thresholds {where}.")


def says_no_more_than_its_reach(bench: CodeBench) -> None:
    """Values within `reach` are exceeded by half a threshold at most; below zero are only codes that are signed."""
    for T, phi in itertools.product(STEPS, SPIKES):
        values = bench.values(T, phi)
        values = values[values <= bench.code.reach(T, phi)]
        *_, (_, _, _, held) = bench.told(values, T, phi, rectified=not bench.code.signed)
        reach = bench.code.reach(T, phi) * (1 + ROUNDING)
        demand(float(held.max()) <= reach + 1 / 2, f"For T = {T} it reaches {held.max():g}, and says {reach:g}.")
        demand(bench.code.signed or float(held.min()) >= 0, "It is not `signed`, and says values below zero.")


def tells_values(bench: CodeBench) -> None:
    """After eight steps of up to four spikes the values held are near those to be told, wherever the code reaches."""
    T, phi = STEPS[-1], SPIKES[-1]
    values = torch.linspace(0.2, 1, 81, dtype=torch.float64) * bench.code.reach(T, phi)
    if bench.code.signed:
        values = torch.cat([values, -values])
    *_, (_, _, _, held) = bench.told(values, T, phi, rectified=not bench.code.signed)
    error = float((held - values).norm() / values.norm())
    demand(error <= NEAR, f"They are off by {error:.2f} of their norm, {NEAR} allowed.")


def tells_them_step_by_step_or_at_once(bench: CodeBench) -> None:
    """A code that chooses all spikes at once sends at every step what it then chose."""
    if not isinstance(bench.code, WindowCode):
        raise DoesNotApply("It chooses step by step.")
    for T in STEPS:
        values = bench.values(T, 1).clamp(min=0)
        step, worth = bench.code.encode(values, ONE, T)
        demand(bool(((step >= 0) & (step <= T)).all()), f"A spike comes outside of the steps 1 to {T}.")
        for t, sent, spikes, _ in bench.told(values, T, 1, rectified=True):
            now = step == t
            same = torch.equal(spikes > 0, now) and bool(torch.isclose(sent, worth * now).all())
            demand(same, f"In step {t} of {T} it sends something else than it chose.")


def has_a_payload(bench: CodeBench) -> None:
    """The bits of an event are a whole number, and no more where values are never negative."""
    for T, phi in itertools.product(STEPS, SPIKES):
        positive, both = (bench.code.payload_bits(T, phi, rectified) for rectified in (True, False))
        whole = isinstance(positive, int) and 0 <= positive <= both
        demand(whole, f"They are {positive} for values above zero and {both} for others.")


CHECKS: tuple[Check[CodeBench], ...] = (
    says_what_it_is, is_called_as_registered, comes_back_from_a_file, keeps_to_its_amplitudes,
    says_no_more_than_its_reach, tells_values, tells_them_step_by_step_or_at_once, has_a_payload,
)  # fmt: skip
