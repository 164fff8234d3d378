"""Lists the datasets and trained networks that are on disk, and those that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from adapters import NETWORKS, find_weights
from adapters.weights import published_files
from conversion.errors import BenchmarkError
from tasks import TASKS, Task


def checkup(data_root: Path | None, weights: Path, patterns: Sequence[str] | None) -> Iterator[str]:
    """Yields lines that name the tasks, their missing data and the networks trained for them; ready tasks come first.

    Args:
        data_root: folder of the datasets.
        weights: folder of trained networks.
        patterns: globs of the tasks to describe. None is an overview of all: the variants of a dataset share a line,
            and layouts and addresses are left out.

    Raises:
        BenchmarkError: a glob matches no task.
    """
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in TASKS):
            raise BenchmarkError(f"There is no task '{pattern}'; `python run_all.py list tasks` names all.")
    wanted = [name for name in TASKS if patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)]
    tasks = [TASKS[name](data_root) for name in wanted]
    gaps = {task.name: task.missing() for task in tasks}
    in_full = patterns is not None
    groups = [[task] for task in tasks] if in_full else _with_variants(tasks, gaps)
    groups.sort(key=lambda group: gaps[group[0].name] is not None)
    for group in groups:
        task, gap = group[0], gaps[group[0].name]
        variants = {1: "", 2: " and its variant"}.get(len(group), f" and its {len(group) - 1} variants")
        layout = f" Expected layout: {task.layout}" * in_full
        yield f"task {task.name}{variants}: " + ("ready" if gap is None else gap + layout)
        if gap is not None and task.info.homepage is not None and in_full:
            licence = f", licence: {task.info.licence}" if task.info.licence else ""
            yield f"  published at {task.info.homepage}{licence}"
        found = [(network, file) for each in group for network, file in _networks(each, weights)]
        yield from (f"  network {network}: {file}" for network, file in found if file is not None)
        untrained = [network for network, file in _networks(task, weights) if file is None]
        if untrained and gap is None:
            yield f"  without weights: {', '.join(untrained)}"
            published = {network: published_files(network, task) for network in untrained}
            if in_full:
                yield from (
                    f"  published for {network}: {' or '.join(files)}" for network, files in published.items() if files
                )
            if own := [network for network, files in published.items() if not files]:
                place = f" --data-root {data_root}" if data_root is not None else ""
                command = f"python run_all.py train --task {task.name} --network {own[0]}{place} --weights {weights}"
                yield f"  to train one: {command}"
    lacking = sum(gaps[group[0].name] is not None for group in groups)
    if lacking and not in_full:
        yield f"{lacking} of these lack data; --task NAME says which layout it expects and where they are published."


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
