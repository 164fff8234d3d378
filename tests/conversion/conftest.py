"""Random numbers and threads for the tests of conversion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.threads import one_thread

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def same_weights_whatever_ran_before() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
