"""Lists the datasets and trained networks that are on disk, and those that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from adapters import NETWORKS, find_weights
from adapters.weights import published_files
from conversion.errors import BenchmarkError
from tasks import TASKS, Task


def overview(data_root: Path | None, weights: Path) -> Iterator[str]:
    """Yields a few lines for each family of tasks: those whose data are there, with their networks, and the others.

    A task is ready if its data and a trained network are there. Variants of a dataset, other encodings of events, say,
    are counted with it.

    Args:
        data_root: folder of the datasets.
        weights: folder of trained networks.
    """
    if data_root is not None and not data_root.is_dir():
        yield f"There is no folder {data_root}, so no data but those that the benchmark brings."
    tasks = [TASKS[name](data_root) for name in TASKS]
    gaps = {task.name: task.missing() for task in tasks}
    groups = _with_variants(tasks, gaps)
    for kind in sorted({task.kind for task in tasks}):
        family = [group for group in groups if group[0].kind == kind]
        trained = {
            _named(group): dict.fromkeys(name for task in group for name, file in _networks(task, weights) if file)
            for group in family
            if gaps[group[0].name] is None
        }
        yield f"{kind}: {sum(map(bool, trained.values()))} of {len(family)} ready"
        for name, networks in trained.items():
            yield f"  {name}: {', '.join(networks) or 'no trained network'}"
        if lacking := [_named(group) for group in family if gaps[group[0].name] is not None]:
            yield f"  no data: {', '.join(lacking)}"
    yield "doctor --task NAME says what a task lacks, where its data are published, and how to train a network for it;"
    yield "doctor --suite NAME says it of all tasks of a suite."


def checkup(data_root: Path | None, weights: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Yields lines that describe some tasks: their data, or what is missing and where it comes from, and networks.

    Args:
        data_root: folder of the datasets.
        weights: folder of trained networks.
        patterns: globs of the tasks.

    Raises:
        BenchmarkError: a glob matches no task.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in TASKS):
            raise BenchmarkError(f"There is no task '{pattern}'; `python run_all.py list tasks` names all.")
    tasks = [TASKS[name](data_root) for name in TASKS if any(fnmatchcase(name, pattern) for pattern in patterns)]
    gaps = {task.name: task.missing() for task in tasks}
    for task in sorted(tasks, key=lambda task: gaps[task.name] is not None):
        gap = gaps[task.name]
        yield f"task {task.name}: " + ("its data are there" if gap is None else f"{gap} Expected layout: {task.layout}")
        if gap is not None and task.info.homepage is not None:
            licence = f", licence: {task.info.licence}" if task.info.licence else ""
            yield f"  published at {task.info.homepage}{licence}"
        found = list(_networks(task, weights))
        yield from (f"  network {network}: {file}" for network, file in found if file is not None)
        untrained = [network for network, file in found if file is None]
        if untrained and gap is None:
            yield from _untrained(task, untrained, data_root, weights)


def _untrained(task: Task, networks: Sequence[str], data_root: Path | None, weights: Path) -> Iterator[str]:
    """Lines on networks without weights: where theirs are published, or the command that trains one."""
    yield f"  without weights: {', '.join(networks)}"
    published = {network: published_files(network, task) for network in networks}
    yield from (f"  published for {network}: {' or '.join(files)}" for network, files in published.items() if files)
    if own := [network for network, files in published.items() if not files]:
        place = f" --data-root {data_root}" if data_root is not None else ""
        command = f"python run_all.py train --task {task.name} --network {own[0]}{place} --weights {weights}"
        yield f"  to train one: {command}"


def _named(group: Sequence[Task]) -> str:
    """The name of a dataset's first task, and how many variants it has."""
    variants = len(group) - 1
    return group[0].name + (f" (and {variants} variant{'s' * (variants > 1)})" if variants else "")


def _with_variants(tasks: Iterable[Task], gaps: Mapping[str, str | None]) -> list[list[Task]]:
    """Tasks, each followed by those that are named after it and share its data: other encodings, or one category."""
    groups: list[list[Task]] = []
    for task in tasks:  # By name, so that a variant comes after its dataset.
        for group in groups:
            first = group[0]
            alike = (first.kind, first.layout, gaps[first.name]) == (task.kind, task.layout, gaps[task.name])
            if alike and task.name.startswith(f"{first.name}_"):
                group.append(task)
                break
        else:
            groups.append([task])
    return groups


def _networks(task: Task, weights: Path) -> Iterator[tuple[str, str | None]]:
    """The networks that fit a task, with the name of the file of their weights, None where there is none."""
    for network in (network for network in NETWORKS if NETWORKS[network].fits(task) is None):
        try:
            yield network, find_weights(network, task.name, weights).name
        except BenchmarkError:
            yield network, None
