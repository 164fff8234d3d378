"""The suites that ship with the benchmark, by the names of their files; nothing of torch is needed to list them."""

from __future__ import annotations

from pathlib import Path

SUITES = Path(__file__).parent
GROUPS = {"paper": tuple(sorted(path.stem for path in SUITES.glob("table[1-9].yaml")))}
"""Suites that one name stands for: all tables of the paper."""


def suite_names() -> list[str]:
    """The names of the shipped suites, sorted."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def suite_path(name: str) -> Path:
    """The file of a shipped suite by its name, or of any suite by its path; it need not exist."""
    return Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"


def members(name: str) -> tuple[str, ...]:
    """The suites that a name stands for: those of a group, or itself."""
    return GROUPS.get(name, (name,))
