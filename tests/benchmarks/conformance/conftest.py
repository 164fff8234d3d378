"""One thread, and registries that forget what a test registered."""

from __future__ import annotations

import pytest

from adapters import NETWORKS
from conversion.methods import METHODS
from tasks import TASKS
from tests.threads import one_thread

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (METHODS, TASKS, NETWORKS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
