"""Placeholder until merge."""

from functools import cache
from importlib.metadata import entry_points


@cache
def load_plugins() -> None:
    for entry in entry_points(group="adaptive_calibration_bench.plugins"):
        entry.load()
