"""`compare`: two folders of results, or two commits of the published ones, cell by cell."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.choices import PUBLISHED
from benchmarks.gate.stores import compare_stores, compared_page
from benchmarks.records.manifest import is_published
from benchmarks.records.reading import Results, open_results
from benchmarks.suites.plugins import load_plugins
from conversion.errors import BenchmarkError, InvalidInput

SAME, DIFFERENT = 0, 1


@dataclass(frozen=True)
class Side:
    """The suites of one side by name; `single` where one suite was named, not a folder of suites."""

    suites: dict[str, Results]
    single: bool


def compare(first: str, second: str) -> int:
    """Prints what differs between two stores; returns the exit status, as `diff` does.

    Args:
        first, second: the folder of a suite's results, a folder of such folders, or a commit, COMMIT or COMMIT:FOLDER.

    Raises:
        BenchmarkError: one of them is none of these, or has no records.
    """
    load_plugins()
    with ExitStack() as stack:
        sides = [stack.enter_context(_opened(name)) for name in (first, second)]
        found = compare_stores(_matched(*sides))
        if not found.pairs and not any(found.only):
            raise BenchmarkError(f"There are no records in {first} and {second}.")
        if not found.pairs:
            raise BenchmarkError(f"{first} and {second} have no cell in common, so there is nothing to compare.")
        print(compared_page(found, (first, second)))
    return SAME if found.same else DIFFERENT


def _matched(first: Side, second: Side) -> list[tuple[str, Results | None, Results | None]]:
    """Suites of the same name; two single suites are compared whatever their names."""
    if first.single and second.single:
        (name, own), (other, theirs) = *first.suites.items(), *second.suites.items()
        return [(name if name == other else f"{name} and {other}", own, theirs)]
    names = [name for name in (first if first.single else second).suites] if first.single or second.single else [
        *first.suites, *(name for name in second.suites if name not in first.suites)
    ]  # fmt: skip
    return [(name, first.suites.get(name), second.suites.get(name)) for name in names]


@contextmanager
def _opened(name: str) -> Iterator[Side]:
    if Path(name).is_dir():
        yield _side(Path(name), name)
        return
    commit, _, folder = name.partition(":")
    place = Path(folder) if folder else PUBLISHED
    with tempfile.TemporaryDirectory() as root:
        _extract(commit, place, Path(root), name)
        yield _side(Path(root) / place, name)


def _side(folder: Path, name: str) -> Side:
    if _has_records(folder):
        return Side({folder.name: open_results(folder.parent, folder.name)}, single=True)
    suites = {path.name: open_results(folder, path.name) for path in sorted(folder.glob("*")) if _has_records(path)}
    if not suites:
        raise BenchmarkError(f"There are no results in {name}: neither records nor folders of suites with records.")
    return Side(suites, single=False)


def _has_records(folder: Path) -> bool:
    return is_published(folder) or (folder / "cells").is_dir()


def _extract(commit: str, place: Path, root: Path, name: str) -> None:
    """Writes a folder of a commit below `root`.

    Raises:
        InvalidInput: there is no such folder and no such commit, or the commit has no such folder.
    """
    if place.is_absolute() or ".." in place.parts:
        raise InvalidInput(f"{name}: the folder of a commit is named from the root of the repository, as {PUBLISHED}.")
    if commit.startswith("-") or _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        raise InvalidInput(f"{name} is neither a folder of results here nor a commit of this repository.")
    packed = _git("archive", "--format=tar", commit, "--", place.as_posix())
    if packed is None:
        raise InvalidInput(f"The commit {commit} has no folder {place}.")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(root, filter="data")


def _git(*words: str) -> bytes | None:
    """The output of git, called at the root of the repository; None where it fails or there is no git."""
    try:
        root = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, check=True, text=True)
        done = subprocess.run(["git", *words], capture_output=True, check=True, cwd=root.stdout.strip())
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
