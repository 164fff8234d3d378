"""Plug-ins: methods, tasks and networks in packages of their own, found by their entry points.

A distribution names the modules that register them in the group `adaptive_calibration_bench.plugins`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from conversion.errors import BenchmarkError, NameTaken

GROUP = "adaptive_calibration_bench.plugins"


@dataclass(frozen=True)
class Plugin:
    """A module that an entry point names, imported.

    Attributes:
        module: its dotted name.
        distribution: the installed package that it belongs to, with its version.
    """

    module: str
    distribution: str


@cache
def load_plugins() -> tuple[Plugin, ...]:
    """Imports the modules that the entry points name, once in a process.

    For a module that cannot be imported a warning is printed on stderr; the others are imported.

    Raises:
        BenchmarkError: a plug-in takes a name that is taken.
    """
    loaded = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (_distribution(entry), entry.name)):
        try:
            entry.load()
        except NameTaken as error:
            raise BenchmarkError(f"The plug-in {_distribution(entry)} cannot be used. {error}") from error
        except (Exception, SystemExit) as error:  # Whatever somebody's module does while it is imported.
            reason = next(iter(str(error).splitlines()), "") or "no reason given"
            print(
                f"Warning: the plug-in {_distribution(entry)} is left out, because its module {entry.module} cannot be "
                f"imported: {type(error).__name__}: {reason}",
                file=sys.stderr,
            )
        else:
            loaded.append(Plugin(entry.module, _distribution(entry)))
    return tuple(loaded)


def origin(entry: type) -> str | None:
    """The distribution that a registered class comes from; None where it is the benchmark's own."""
    package = entry.__module__.partition(".")[0]
    found = (plugin.distribution for plugin in load_plugins() if plugin.module.partition(".")[0] == package)
    return next(found, None)


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "(of an unknown distribution)"
