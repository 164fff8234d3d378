"""What all tests share: few threads, the same random numbers, registries as they were, and the folder of real data."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from adapters import NETWORKS
from benchmarks.records.machine import cores
from conversion.methods import METHODS
from tasks import TASKS

# An example that takes long says something about the machine; every test has its time limit from who runs it. The
# examples are the same everywhere, so that a change is judged by what it changes; `make explore` draws others.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("same")
# What tests have loaded stays; looking through it for garbage as often as Python does takes a fifth of their time.
gc.set_threshold(20_000)
# Whoever runs the tests may have defaults of their own.
os.environ["XDG_CONFIG_HOME"] = os.devnull
for _name in ("ACB_CONFIG", "ACB_DATA", "ACB_WEIGHTS"):
    os.environ.pop(_name, None)
# Their tests are shorter than those of the benchmark, which run suites.
LIBRARIES = [Path(__file__).parent / name for name in ("adapters", "conversion", "tasks")]
# Toys are too small to share; threads that wait for each other on a busy machine take 50 times longer.
THREADS = torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core; one more where tests start processes and spend much of their time waiting for them.

    Each takes up to 3 GiB, and with all cores busy a further one takes from the caches of the others.
    """
    return cores() + ("not slow" not in config.option.markexpr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first: processes that share the files out are then done at about the same time.

    Files whose tests mostly wait are spread over the others: side by side they would leave the cores idle.
    """
    slow = dict.fromkeys(item.path for item in items if item.get_closest_marker("slow"))
    waiting = dict.fromkeys(item.path for item in items if item.get_closest_marker("waits"))
    busy = sorted(slow.keys() - waiting.keys(), key=lambda path: (any(map(path.is_relative_to, LIBRARIES)), path))
    order = {path: float(index) for index, path in enumerate(busy)}
    order |= {path: index * len(busy) / len(waiting) - 0.5 for index, path in enumerate(waiting)}
    items.sort(key=lambda item: order.get(item.path, math.inf))


def pytest_collection_finish() -> None:
    """What is loaded by now is never looked through for garbage."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """One, or as many as OMP_NUM_THREADS says, whatever the module before this one has set."""
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True, scope="session")
def files_outlive_the_tests_alone() -> Iterator[None]:
    """No test loses power: waiting for the disk after every file takes a minute of a run and shows nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def same_random_numbers_whatever_ran_before() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods, tasks and networks that a test registers are gone after it."""
    for registry in (METHODS, TASKS, NETWORKS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def real_data() -> Path:
    """Folder of the datasets and published weights that tests marked `data` read; without one they are skipped."""
    folder = os.environ.get("SNNBENCH_DATA")
    if folder is None:
        pytest.skip("SNNBENCH_DATA is not set: it has to name a folder with cifar10/ and resnet20_cifar10.safetensors")
    return Path(folder)
