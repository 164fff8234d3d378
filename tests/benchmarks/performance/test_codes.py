"""The table of what a code costs: its rows are those that the codes give, and they keep their order."""

from __future__ import annotations

import pytest

from benchmarks.pages.figures.code_costs import ERRORS, FAMILIES, cheapest, half_normal
from benchmarks.performance.codes import main
from conversion.codes import Held

pytestmark = pytest.mark.slow


def test_uniform_levels_cost_what_theory_says() -> None:
    """Fine uniform quantisation has an error of V^2 / 12 and E|z| / V spikes a value: sqrt(2 / pi) / sqrt(12 error)."""
    spikes = cheapest(("unary", [(Held(), 1, 255)]), half_normal())
    expected = (2 / 3.141592653589793) ** 0.5 / (12 * ERRORS[-1]) ** 0.5
    assert spikes[-1] == pytest.approx(expected, rel=0.05)


def test_one_spike_is_the_cheapest_and_unary_the_dearest() -> None:
    found = {name: cheapest((name, points), half_normal(1024)) for name, points in FAMILIES if "T=2" not in name}
    at_a_percent = {name: spikes[ERRORS.index(0.01)] for name, spikes in found.items()}
    known = {name: spikes for name, spikes in at_a_percent.items() if spikes is not None}
    assert max(known, key=known.__getitem__) == "unary: bursts, any T phi"
    assert min(known, key=known.__getitem__) == "one spike, 40 amplitudes"
    assert known["one spike, 40 amplitudes"] < 1
    for spikes in found.values():  # A smaller error never takes fewer spikes.
        reached = [value for value in spikes if value is not None]
        assert reached == sorted(reached) and spikes[: len(reached)] == reached


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert printed.startswith("Spikes for each value, half-normal values\n\n| code | 0.05 | 0.02 |")
    assert all(f"| {name} |" in printed for name, _ in FAMILIES)
