"""Whoever watches a run hears the conversion's log, and nobody else hears more than before."""

from __future__ import annotations

import logging
import threading

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


def test_two_threads_listen_at_the_same_time_and_end_in_the_order_in_which_they_began() -> None:
    logger = logging.getLogger(LOGGER)
    before = logger.level, logger.propagate, list(logger.handlers)
    heard: dict[str, list[str]] = {"first": [], "second": []}
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with listening(heard["first"].append):
            first_in.set()
            second_in.wait(10)
            MODULE.info("of the first")
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with listening(heard["second"].append):
            second_in.set()
            first_out.wait(10)
            MODULE.info("of the second")

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"first": ["of the first"], "second": ["of the second"]}
    assert (logger.level, logger.propagate, logger.handlers) == before


@pytest.mark.parametrize(("level", "expected"), [("WARNING", ["odd"]), ("INFO", ["8 of 32 samples", "odd"])])
def test_the_root_logger_hears_what_it_would_hear_anyway(
    level: str, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(level), listening(lambda _: None):
        MODULE.info("8 of 32 samples")
        MODULE.warning("odd")
    assert caplog.messages == expected
