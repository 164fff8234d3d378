"""Whoever watches a run hears the conversion's log, and nobody else hears more than before."""

from __future__ import annotations

import logging

import pytest

from benchmarks.execution.listening import LOGGER, listening

MODULE = logging.getLogger(f"{LOGGER}.calibration.sensitivity")


def test_messages_are_heard_inside_the_block_alone() -> None:
    said: list[str] = []
    before = logging.getLogger(LOGGER).level
    with pytest.raises(ValueError, match="it broke"), listening(said.append):
        MODULE.info("%d of %d samples", 8, 32)
        MODULE.debug("a detail")
        raise ValueError("it broke")
    MODULE.info("16 of 32 samples")
    logger = logging.getLogger(LOGGER)
    assert said == ["8 of 32 samples"]
    assert (logger.level, logger.propagate, logger.handlers) == (before, True, [])


@pytest.mark.parametrize(("level", "expected"), [("WARNING", ["odd"]), ("INFO", ["8 of 32 samples", "odd"])])
def test_the_root_logger_hears_what_it_would_hear_anyway(
    level: str, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level), listening(lambda _: None):
        MODULE.info("8 of 32 samples")
        MODULE.warning("odd")
    assert caplog.messages == expected
