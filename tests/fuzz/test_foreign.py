"""A short run of the fuzzing of files from outside, its finds, and what counts as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from conversion.errors import InvalidInput
from tests.fuzz.foreign import PARSERS
from tests.fuzz.foreign.parser import Parser, written

RUNS = 8
BY_NAME = {parser.name: parser for parser in PARSERS}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("parser", PARSERS, ids=BY_NAME)
def test_mutated_files_give_results_or_sentences(parser: Parser, tmp_path: Path) -> None:
    for number, content in enumerate(parser.seeds()):
        path = tmp_path / str(number) / parser.file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        parser.read(path)  # What is not mutated is read.
    for seed in range(RUNS):
        parser(seed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("network", 5020),  # An archive of several disks.
        ("off", 10038),  # An index beyond 64 bits.
        ("npy", 10146),  # A shape on which a pattern tried every way to split digits.
        ("npy", 40369),  # Numbers of no bytes.
        ("arrow", 10157),  # Offsets outside of the file.
        ("arrow", 60316),  # A name of a field that is no text.
        ("parquet", 0),  # An error of several lines.
        ("parquet", 30064),  # A name of a column that is no text.
    ],
)
def test_finds_are_sentences_now(name: str, seed: int) -> None:
    BY_NAME[name](seed)


def raw(path: Path) -> None:
    raise ValueError(f"{path} is odd")


def unnamed(path: Path) -> None:
    raise InvalidInput("a file is odd")


def named(path: Path) -> None:
    raise InvalidInput(f"{path} is odd")


@pytest.mark.parametrize(("read", "error"), [(raw, ValueError), (unnamed, AssertionError), (named, None)])
def test_a_raw_error_and_one_without_the_file_are_finds(read: object, error: type[Exception] | None) -> None:
    assert callable(read)
    parser = Parser("odd", "odd.txt", written("odd.txt", "1 2 3"), read)
    if error is None:
        parser(0)
        return
    with pytest.raises(error):
        parser(0)
