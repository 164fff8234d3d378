"""Random small networks: those that hypothesis draws and shrinks, and those of a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from hypothesis import strategies as st

from tests.conversion.generated.operations import OPERATIONS, REFUSED, activation
from tests.conversion.generated.programs import Drawing, Kind, Program


@st.composite
def programs(draw: Callable[[st.SearchStrategy[int]], int]) -> Program:
    """Networks, as hypothesis draws and shrinks them."""
    return drawn(lambda low, high: draw(st.integers(low, high)))


def seeded_program(seed: int) -> Program:
    """The network of a seed, which has nothing to do with that of the next."""
    return drawn(random.Random(seed).randint)


def drawn(between: Callable[[int, int], int]) -> Program:
    """A network of up to a dozen operations with at least one activation, if one fits."""
    names = list(OPERATIONS)
    with torch.random.fork_rng(devices=[]):
        drawing = Drawing(between)
        for _ in range(drawing.between(2, 11)):
            for _ in range(6):
                operation = REFUSED if drawing.chance(600) else OPERATIONS[drawing.one_of(names)]
                step = operation(drawing, _source(drawing))
                if step is not None and drawing.try_step(step):
                    break
        if not any(step.kind is Kind.FIRE for step in drawing.steps):
            drawing.try_step(activation(drawing, len(drawing.steps)))
        return Program(drawing.steps, drawing.parts, drawing.x)


def _source(drawing: Drawing) -> int:
    """A value to read: mostly the latest, at times an older one, and never whole numbers."""
    floats = [
        i for i, value in enumerate(drawing.values) if value.is_floating_point() and (i or value.dtype == drawing.dtype)
    ]
    return int(drawing.one_of(floats)) if drawing.chance(4) else floats[-1]
