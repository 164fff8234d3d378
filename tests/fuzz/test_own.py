"""A short run of the fuzzing of our own files, and its finds."""

from __future__ import annotations

import pytest

from tests.fuzz.own import TARGETS

SEEDS = 40


@pytest.mark.parametrize(("name", "target"), TARGETS, ids=[name for name, _ in TARGETS])
def test_changed_files_give_results_or_sentences(name: str, target: object) -> None:
    assert callable(target)
    for seed in range(SEEDS):
        target(seed)
