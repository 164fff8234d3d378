"""What is published of a record: everything, but for the folders of the machine that measured it."""

from __future__ import annotations

import pytest

from benchmarks.pages.publication import portable
from benchmarks.records.record import Record
from tests.benchmarks.conftest import CellOf


@pytest.mark.parametrize(
    ("typed", "published"),
    [
        (
            "python run_all.py run --suite cifar10 --data-root /home/me/d --weights=/home/me/w --results out/x --T 4",
            "python run_all.py run --suite cifar10 --data-root DATA --weights=DATA --results RESULTS --T 4",
        ),
        ("python run_all.py --data-root '/with a space/d' --limit 5", "python run_all.py --data-root DATA --limit 5"),
        ("python run_all.py", "python run_all.py"),
        ("", ""),
    ],
)  # fmt: skip
def test_folders_of_the_command_line_are_named_and_not_published(
    typed: str, published: str, digits_cell: CellOf
) -> None:
    record = Record(cell=digits_cell(), status="done", provenance={"command": typed, "cores": "2"})
    assert portable(record).provenance == {"command": published, "cores": "2"}
    assert record.provenance["command"] == typed
