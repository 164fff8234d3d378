"""A short run of the fuzzing of our own files, and its finds."""

from __future__ import annotations

import pytest

from tests.fuzz.own import TARGETS, pages, records, suites

SEEDS = 40
FINDS = [(suites, 5262), (suites, 5847), (records, 1004), (pages, 332)]
"""Seeds that led to an exception of a library once: half a character, written as an escape; an error of 1e308 %."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), TARGETS, ids=[name for name, _ in TARGETS])
def test_changed_files_give_results_or_sentences(name: str, target: object) -> None:
    assert callable(target)
    for seed in range(SEEDS // 5 if target is pages else SEEDS):  # Rankings are bootstrapped.
        target(seed)


@pytest.mark.parametrize(("target", "seed"), FINDS)
def test_finds_stay_mended(target: object, seed: int) -> None:
    assert callable(target)
    target(seed)
