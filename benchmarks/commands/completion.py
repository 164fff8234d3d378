"""Tab completion. It reads files only, so that it answers without loading torch.

Names come from the suite on the command line, or from the schema of suite files, which holds all names that ship with
the benchmark. Names of plug-ins are completed where a suite file has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from glob import escape, glob
from pathlib import Path
from typing import Any

import typer

from benchmarks.suites.shipped import GROUPS, SUITES, suite_names, suite_path

Complete = Callable[[typer.Context, str], list[str]]


def suites(incomplete: str) -> list[str]:
    """Completes shipped suites by name, and suite files and folders by path."""
    paths = sorted(glob(f"{escape(incomplete)}*")) if incomplete else []
    folders = [f"{path}/" for path in paths if Path(path).is_dir()]
    return [
        *_beginning((*suite_names(), *GROUPS), incomplete),
        *(p for p in paths if p.endswith((".yaml", ".yml"))),
        *folders,
    ]


def of_suite(key: str) -> Complete:
    """Completes the values under a key of a suite's entries."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        return _beginning(_listed(str(context.params.get("suite") or "mini"), key), incomplete)

    return complete


def shipped(kind: str) -> Callable[[str], list[str]]:
    """Completes the tasks, networks or methods that ship with the benchmark."""
    return lambda incomplete: _beginning(_known(kind), incomplete)


def anything(incomplete: str) -> list[str]:
    """Completes the methods, tasks and networks that ship with the benchmark."""
    return _beginning([*_known("methods"), *_known("tasks"), *_known("networks")], incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _listed(suite: str, key: str) -> list[str]:
    """The values under a key in the entries of a suite file; empty if the file is not one."""
    import yaml  # Here, because only completion of a suite's names needs it.

    try:
        entries = yaml.safe_load(suite_path(suite).read_text(encoding="utf-8"))["entries"]
        found = [item for entry in entries for item in entry.get(key, ())]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return []
    # A method is a name, or a name with options below it.
    return [str(name) for item in found for name in (item if isinstance(item, dict) else [item])]


def _known(kind: str) -> list[str]:
    """The names of a kind, from the schema of suite files."""
    entry: dict[str, Any] = json.loads((SUITES / "suite.schema.json").read_text(encoding="utf-8"))["$defs"]["Entry"]
    items = entry["properties"][kind]["items"]
    if kind == "methods":
        return sorted(next(choice["properties"] for choice in items["anyOf"] if "properties" in choice))
    return list(items["enum"])
