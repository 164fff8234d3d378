"""A suite, its cells and their made-up measurements, for tests of published suites."""

from __future__ import annotations

from benchmarks.records.machine import Machine
from benchmarks.records.manifest import Verification
from benchmarks.suites.files import load_suite

SUITE = load_suite("smoke")
CELLS = SUITE.cells()
PAGES = ("results.csv", "results.md")
MEASURED = {
    "git": "ab" * 20, "dirty": "false", "device": "cpu (x86_64)", "python": "3.11.7", "torch": "2.14.1",
    "torchvision": "0.29.1", "numpy": "2.4.0", "threads": "1", "finished": "2026-11-21T10:00:00.000+00:00",
    "processor": "Some CPU", "isa": "x86_64 AVX2", "cores": "2",
}  # fmt: skip
AGAIN = Verification(
    date="2026-11-27", commit="cd" * 20, dirty=False, machine=Machine(processor="Other CPU"),
    versions={"torch": "2.14.1"}, cells={CELLS[0].id: "equal", CELLS[1].id: "within tolerance"},
)  # fmt: skip
