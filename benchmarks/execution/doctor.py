"""Lists the datasets and trained networks that are on disk, and those that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from adapters import NETWORKS, find_weights
from conversion.errors import BenchmarkError
from tasks import TASKS


def checkup(data_root: Path | None, weights: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Yields lines that name the tasks, their missing data and the networks trained for them; ready tasks come first.

    Args:
        data_root: folder of the datasets.
        weights: folder of trained networks.
        patterns: globs of the tasks to list.

    Raises:
        BenchmarkError: a glob matches no task.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in TASKS):
            raise BenchmarkError(f"There is no task '{pattern}'; `python run_all.py list tasks` names all.")
    wanted = [name for name in TASKS if any(fnmatchcase(name, pattern) for pattern in patterns)]
    tasks = {name: TASKS[name](data_root) for name in wanted}
    gaps = {name: task.missing() for name, task in tasks.items()}
    for name in sorted(wanted, key=lambda name: gaps[name] is not None):
        gap = gaps[name]
        yield f"task {name}: " + ("ready" if gap is None else f"{gap} Expected layout: {tasks[name].layout}")
        info = tasks[name].info
        if gap is not None and info.homepage is not None:
            yield f"  published at {info.homepage}" + (f", licence: {info.licence}" if info.licence else "")
        untrained = []
        for network in (network for network in NETWORKS if NETWORKS[network].fits(tasks[name]) is None):
            try:
                yield f"  network {network}: {find_weights(network, name, weights).name}"
            except BenchmarkError:
                untrained.append(network)
        if untrained and gap is None:
            yield f"  without weights: {', '.join(untrained)}"
            yield f"  to train one: python run_all.py train --task {name} --network {untrained[0]}"
