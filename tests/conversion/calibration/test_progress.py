"""What a search of minutes says while it runs."""

from __future__ import annotations

import logging

import pytest

from conversion.calibration.progress import Progress


def test_layer_candidate_and_time_left_d5(caplog: pytest.LogCaptureFixture) -> None:
    """A second for each of 10 parts: a message every two seconds, each with what is left at this pace."""
    now = iter(range(100))
    with caplog.at_level(logging.INFO):
        progress = Progress(logging.getLogger("conversion.search"), "search", 10, clock=lambda: next(now))
        for layer in range(1, 11):
            progress.finish(f"layer {layer} of 10, 8 candidates")
    assert [record.getMessage() for record in caplog.records] == [
        "search: layer 2 of 10, 8 candidates, 20 %, about 8 s left",
        "search: layer 4 of 10, 8 candidates, 40 %, about 6 s left",
        "search: layer 6 of 10, 8 candidates, 60 %, about 4 s left",
        "search: layer 8 of 10, 8 candidates, 80 %, about 2 s left",
        "search: layer 10 of 10, 8 candidates, 100 %, about 0 s left",
    ]
