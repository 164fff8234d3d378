"""A reader of files from outside as a target of fuzzing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from conversion.errors import BenchmarkError
from tests.fuzz.mutations import mutated


@dataclass(frozen=True)
class Parser:
    """A reader of files from outside.

    Attributes:
        name: what it reads.
        file: the name of the file.
        valid: writes valid files of this kind to a folder, and gives their paths.
        read: reads a file.
    """

    name: str
    file: str
    valid: Callable[[Path], list[Path]]
    read: Callable[[Path], object]

    @cache  # noqa: B019  # Parsers live as long as the process.
    def seeds(self) -> list[bytes]:
        """The contents of the valid files."""
        with TemporaryDirectory() as folder:
            return [path.read_bytes() for path in self.valid(Path(folder))]

    def __call__(self, seed: int) -> None:
        """Reads one mutated file. Raises AssertionError for an error that does not name the file."""
        source = random.Random(f"{self.name} {seed}")
        contents = self.seeds()
        with TemporaryDirectory() as folder:
            path = Path(folder, self.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mutated(source, source.choice(contents), contents))
            self.require_sentence(path)

    def require_sentence(self, path: Path) -> None:
        """Raises AssertionError, or what the reader raises, unless it reads the file or names it in our error."""
        try:
            self.read(path)
        except BenchmarkError as error:
            assert path.name in str(error), f"the error does not name {path.name}: {error}"
            assert "\n" not in str(error).replace(str(path), ""), f"the error has more than a line: {error}"


def written(name: str, *contents: bytes | str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = [folder / f"{number}_{name}" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return paths

    return write
