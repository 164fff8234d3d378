"""Tables of the registered tasks and networks, made from the metadata and docstrings of their classes.

`python -m benchmarks.pages.catalogue docs/suites.md` writes those of docs/suites.md.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters import NETWORKS, Network
from adapters.base import NetworkInfo, shown
from adapters.weights import SHIPPED
from benchmarks.suites.plugins import origin
from benchmarks.text import one_line
from conversion.files import write_atomically
from tasks import TASKS, Task
from tasks.base import TaskInfo

Kind = Literal["tasks", "networks"]


def print_catalogue(kind: Kind, console: Console) -> None:
    """Prints the tasks or networks, each with its kind, the shape of a sample, its title and its plug-in."""
    table = Table(show_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("kind", "classes", "samples", "what it is") if kind == "tasks" else ("for", "samples", "what it is"):
        table.add_column(column, overflow="fold")
    if kind == "tasks":
        for task in (TASKS[name]() for name in TASKS):
            row = (task.name, task.kind, str(len(task.classes)), shown(task.input_shape), _title(type(task)))
            table.add_row(*(Text(one_line(text)) for text in row))
    else:
        for network in (NETWORKS[name] for name in NETWORKS):
            described = (network.name, network.family.kind, _samples(network), _title(network))
            table.add_row(*(Text(one_line(text)) for text in described))
    console.print(table)


def tasks_table() -> str:
    """All tasks in Markdown: one row for those that differ only in the encoding of samples, or in the category."""
    groups: dict[tuple[str, str, str], list[Task]] = {}
    for task in (TASKS[name]() for name in TASKS):
        groups.setdefault((_summary(type(task)), task.kind, task.layout), []).append(task)
    rows = (
        (
            _code(task.name for task in group), what, kind, _range([len(task.classes) for task in group]),
            ", ".join(dict.fromkeys(shown(task.input_shape) for task in group)), layout, _source(group[0].info),
        )
        for (what, kind, layout), group in groups.items()
    )  # fmt: skip
    return _markdown(("task", "what it is", "kind", "classes", "samples", "under DATA", "source"), rows)


def networks_table() -> str:
    """All networks in Markdown: one row for those of the same description."""
    groups: dict[tuple[str, str, str], list[type[Network]]] = {}
    for network in (NETWORKS[name] for name in NETWORKS):
        what = ". ".join(filter(None, (network.info.title, _summary(network))))
        groups.setdefault((what, network.family.kind, _samples(network)), []).append(network)
    rows = (
        (
            _code(network.name for network in group), what, kind, samples,
            "; ".join(dict.fromkeys(part for network in group for part in _weights(network))) or "`train` it",
            _source(group[0].info),
        )
        for (what, kind, samples), group in groups.items()
    )  # fmt: skip
    return _markdown(("network", "what it is", "for", "samples", "weights", "source"), rows)


def with_tables(page: str) -> str:
    """Replaces the tables of a page, between `<!-- tasks -->` or `<!-- networks -->` and `<!-- end -->`."""
    tables: Mapping[str, str] = {"tasks": tasks_table(), "networks": networks_table()}

    def between(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{tables[found[1]]}<!-- end -->"

    return re.sub(r"<!-- (tasks|networks) -->\n.*?<!-- end -->", between, page, flags=re.DOTALL)


def _title(kind: type[Task] | type[Network]) -> str:
    source = origin(kind)
    return (kind.info.title or _summary(kind)) + (f" (plug-in {source})" if source else "")


def _summary(kind: type) -> str:
    """The first paragraph of a docstring, the class's own or an inherited one."""
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def _samples(network: type[Network]) -> str:
    shape = "any" if network.shape is None else shown(network.shape)
    return shape if network.stride == 1 else f"{shape}, multiples of {network.stride}"


def _weights(network: type[Network]) -> Iterator[str]:
    """The sources of trained weights of a network."""
    shipped = [path.stem.removeprefix(f"{network.name}_") for path in sorted(SHIPPED.glob(f"{network.name}_*"))]
    of_its_tasks = [task for task in shipped if task in TASKS]
    if of_its_tasks:
        yield f"shipped for {_code(of_its_tasks)}"
    for labels in network.info.files:
        yield f"published for the classes of {labels} (`{network.info.published(labels, '<name>')[0]}`)"


def _source(info: TaskInfo | NetworkInfo) -> str:
    licence = f"Licence: {info.licence}" if info.licence else None
    expected = f"Expected: {info.expected}" if info.expected else None
    return ". ".join(filter(None, (info.citation, info.homepage, licence, expected)))


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _code(names: Iterable[str]) -> str:
    return f"`{' '.join(names)}`"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """Escapes tags and emphasis of Markdown, except in backticks."""
    parts = text.split("`")
    return "`".join(part if i % 2 else re.sub(r"([<*|])", r"\\\1", part) for i, part in enumerate(parts))


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        write_atomically(page, with_tables(page.read_text(encoding="utf-8")).encode())
