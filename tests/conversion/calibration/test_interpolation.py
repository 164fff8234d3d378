"""Tables filled up from a few measured candidates, against curves that are known."""

from __future__ import annotations

import itertools
import math

import pytest

from conversion.calibration.interpolation import interpolated
from conversion.calibration.sensitivity import Sensitivity

MEASURED = (1.0, 2.0, 3.5, 6.0, 10.0)
WANTED = (1.0, 1.5, 2.0, 4.5, 8.0, 10.0)


def filled(*rows: list[float]) -> tuple[tuple[float, ...], ...]:
    table = Sensitivity(tuple(map(tuple, rows)), tuple(map(tuple, rows)), base=rows[0][0])
    found = interpolated(table, MEASURED, WANTED)
    assert found.base == table.base and found.energy == found.divergence
    return found.divergence


def test_a_line_in_the_logarithm_is_met() -> None:
    (row,) = filled([2 + 3 * math.log(rho) for rho in MEASURED])
    assert row == pytest.approx([2 + 3 * math.log(rho) for rho in WANTED])


def test_measured_entries_stay_bit_for_bit_and_rows_do_not_mix() -> None:
    first, second = [0.1, 0.3, 0.2, 0.7, 1 / 3], [0.0, 0.0, 0.0, 0.0, 0.0]
    one, other = filled(first, second)
    assert [one[WANTED.index(rho)] for rho in (1.0, 2.0, 10.0)] == [0.1, 0.3, 1 / 3]
    assert other == (0.0,) * len(WANTED)


@pytest.mark.parametrize("row", [[0.05, 0.04, 0.06, 3.0, 9.0], [1.0, 0.4, 0.4, 0.4, 0.0]])
def test_no_entry_lies_beyond_its_neighbours(row: list[float]) -> None:
    (found,) = filled(row)
    points = list(zip(MEASURED, row, strict=True))
    for rho, value in zip(WANTED, found, strict=True):
        for (left, first), (right, last) in itertools.pairwise(points):
            if left <= rho <= right:
                assert min(first, last) <= value <= max(first, last)
