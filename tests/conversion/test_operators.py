"""Torch's own database of operators against the role table: each converts rightly, or is refused by name.

`python -m tests.conversion.operators docs/operations.md` sweeps all of it. Here is a third of those that convert, and
of the layers that do not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conversion.operators import END, START, Outcome, listed, operators, role_of

# Torch's database imports it for tests of its own.
pytest.importorskip("expecttest")
pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs/operations.md"
WHOLE = listed(PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0])

ROWS = {row: names[::3] for row, names in WHOLE.items()}


@pytest.fixture(scope="module")
def swept() -> dict[str, list[Outcome]]:
    return dict(operators(only={name for names in ROWS.values() for name in names}))


def test_every_rule_holds_for_what_it_lets_through(swept: dict[str, list[Outcome]]) -> None:
    """Linear is additive, an activation is the curve that the table says, the rest is a function of its input alone."""
    faults = {name: outcome.fault for name, outcomes in swept.items() for outcome in outcomes if outcome.fault}
    assert not faults
    assert sum(outcome.role is not None for outcomes in swept.values() for outcome in outcomes) > 80


def test_what_is_refused_is_named(swept: dict[str, list[Outcome]]) -> None:
    """By ATen's name and with advice, where torch can trace it at all and it is about floating-point numbers."""
    reasons = {o.reason for outcomes in swept.values() for o in outcomes if o.role is None and not o.fault}
    untraced = re.compile(r"cannot be traced: |no .*floating-point|gives (no tensors|a constant)")
    for reason in reasons:
        named = re.match(r"The (operation|positions that) (aten|prims|<built-in|\w+)", reason)
        assert named or untraced.match(reason), reason
    assert sum("has no rule" in reason for reason in reasons) > 10


def test_the_table_of_the_page_is_that_of_today(swept: dict[str, list[Outcome]]) -> None:
    assert {row: len(names) for row, names in ROWS.items()}.keys() == {"linear", "firing", "nonlinear", "refused"}
    for row, names in ROWS.items():
        found = {name: role_of(swept[name]) for name in names}
        assert {str(role or "refused") for role in found.values()} == {row}, found
