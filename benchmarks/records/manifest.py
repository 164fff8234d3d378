"""The manifest of a published suite, `suite.json`: its files, the origin of its records, and its verifications."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from os.path import lexists
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, StrictInt, ValidationError

from benchmarks.records.machine import Machine
from benchmarks.records.record import Record, first_error
from benchmarks.records.sealed import Damaged, opened, seal
from conversion.errors import InvalidInput
from conversion.files import write_atomically

MANIFEST = "suite.json"
FORMAT = 2
SEALED = 2
"""The first format that carries a digest of its content. Of earlier ones the digests of the files are all there is;
`report` writes the manifest again, with its digest."""
LIBRARIES = ("python", "torch", "torchvision", "numpy")
Verdict = Literal["equal", "within tolerance", "different"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]
"""The name of a file in the suite's own folder: no path, so that nothing outside is read."""
Day = Annotated[str, AfterValidator(lambda day: date.fromisoformat(day).isoformat())]


class Origin(BaseModel):
    """Cells that were measured alike: by one commit, on one machine, with the same versions.

    Attributes:
        commit, dirty: the checkout that measured, and whether it had changes that were not committed.
        device, threads: device and number of threads in the records.
        versions: versions of Python and the libraries, by name.
        cells: number of cells.
        first, last: first and last day of measuring, in UTC; "" if not recorded.
    """

    model_config = ConfigDict(frozen=True)
    commit: str
    dirty: bool
    machine: Machine
    device: str
    threads: str
    versions: dict[str, str]
    cells: NonNegativeInt
    first: str = ""
    last: str = ""

    def __str__(self) -> str:
        days = sorted({self.first, self.last} - {""})
        when = f" on {days[0]}" if len(days) == 1 else f" from {days[0]} to {days[1]}" if days else ""
        return f"{self.cells} cell{'s' * (self.cells != 1)} {checkout(self.commit, self.dirty)}{when}"


class Verification(BaseModel):
    """Cells of a published suite that were measured again.

    Attributes:
        date: day of the verification, in UTC.
        commit, dirty: the checkout that measured again.
        cells: verdicts, by the id of the cell.
    """

    model_config = ConfigDict(frozen=True)
    date: Day
    commit: str
    dirty: bool
    machine: Machine
    versions: dict[str, str]
    cells: dict[str, Verdict] = Field(min_length=1)

    @property
    def outcome(self) -> str:
        """The number of cells of each verdict, as in "5 equal, 1 within tolerance"."""
        counts = Counter(self.cells.values())
        order: tuple[Verdict, ...] = ("equal", "within tolerance", "different")
        return ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict])


class Manifest(BaseModel):
    """The content of `suite.json`.

    Attributes:
        files: the SHA-256 of every file beside it, also of those that later versions add.
        content_sha256: digest of records and samples, independent of compression, see `published.content_digest`.
        measured: origins of the records, those of most cells first.
        verified: verifications, the oldest first.
    """

    model_config = ConfigDict(frozen=True)
    format: Annotated[StrictInt, Field(ge=1)] = FORMAT
    suite: str
    files: dict[FileName, Digest]
    content_sha256: Digest
    measured: list[Origin]
    verified: list[Verification] = []

    def origin(self, cells: int) -> str:
        """A sentence on the commit and machine that measured `cells` cells, and on their last verification."""
        machines = dict.fromkeys(str(part.machine) for part in self.measured)
        torch = dict.fromkeys(part.versions.get("torch", "unknown") for part in self.measured)
        devices = dict.fromkeys(part.device for part in self.measured)
        parts = "; ".join(map(str, self.measured))
        said = f"Measured: {parts}; {_listed(devices)}, {_listed(machines)}, torch {_listed(torch)}."
        if not self.verified:
            return f"{said} Not verified since."
        last = self.verified[-1]
        return (
            f"{said} Last verified on {last.date} {checkout(last.commit, last.dirty)}, {last.machine}, torch "
            f"{last.versions.get('torch', 'unknown')}: {len(last.cells)} of {cells} cells, {last.outcome}."
        )


def checkout(name: str, dirty: bool) -> str:
    """Names a commit in a sentence; records may come from no checkout."""
    shown = f"at commit `{name[:10]}`" if _is_hash(name) else "from no git checkout"
    return shown + " with changes" * (dirty and _is_hash(name))


def origins(records: Iterable[Record]) -> list[Origin]:
    """Groups records by commit, machine and versions."""
    groups: dict[str, tuple[Origin, list[str]]] = {}
    for record in records:
        said = record.provenance
        alike = Origin(
            commit=said.get("git", ""), dirty=said.get("dirty") == "true", device=said.get("device", ""),
            threads=said.get("threads", ""), cells=0,
            machine=Machine(**{name: said.get(name, "") for name in Machine.model_fields}),
            versions={name: said[name] for name in LIBRARIES if name in said},
        )  # fmt: skip
        _, days = groups.setdefault(alike.model_dump_json(), (alike, []))
        days.append(said.get("finished", "")[:10])
    found = [
        alike.model_copy(update={"cells": len(days), "first": min(days), "last": max(days)})
        for alike, days in groups.values()
    ]
    return sorted(found, key=lambda part: (-part.cells, part.model_dump_json()))


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes or replaces the manifest of a folder."""
    current = manifest.model_copy(update={"format": FORMAT})
    write_atomically(folder / MANIFEST, seal((current.model_dump_json(indent=1) + "\n").encode()))


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a folder.

    Raises:
        InvalidInput: it is missing, damaged, or of a newer version.
    """
    path = folder / MANIFEST
    try:
        content = opened(path.read_bytes(), "format", SEALED)
    except OSError as error:
        raise InvalidInput(
            f"There is no published suite in {folder}: {MANIFEST} cannot be read ({error.strerror})."
        ) from None
    except Damaged as error:
        raise InvalidInput(f"The manifest {path} is damaged ({error}); {restore(folder)}") from None
    version = content.get("format") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise InvalidInput(f"{path} was written by a newer version of this benchmark; update it.")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"The manifest {path} is damaged ({first_error(error)}); {restore(folder)}") from None


def is_published(folder: Path) -> bool:
    """Whether a folder is that of a published suite, which has a manifest, be it damaged or a broken link."""
    return lexists(folder / MANIFEST)


def restore(folder: Path) -> str:
    """Advice on a published suite that is damaged: `publish` builds on what is there, and refuses it, too."""
    return (
        f"restore it with `git checkout -- {folder}`, or remove that folder and publish the suite again from its "
        "working store."
    )


def check_files(folder: Path, files: Mapping[str, str], names: Sequence[str] | None = None) -> None:
    """Compares files with the digests of their manifest; all files where no names are given.

    Raises:
        InvalidInput: one is missing, is not in the manifest, or is not what was published.
    """
    for name in files if names is None else names:
        path = folder / name
        if name not in files:
            raise InvalidInput(f"{folder / MANIFEST} has no digest of {name}; {restore(folder)}")
        if not path.is_file():
            raise InvalidInput(f"The published file {path} is missing; {restore(folder)}")
        if digest(path.read_bytes()) != files[name]:
            raise InvalidInput(
                f"The published file {path} was changed after it was published (its SHA-256 is not the one in "
                f"{MANIFEST}); {restore(folder)}"
            )


def _is_hash(name: str) -> bool:
    return len(name) == 40 and all(letter in "0123456789abcdef" for letter in name)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
