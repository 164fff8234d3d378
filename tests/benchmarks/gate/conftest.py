"""Fixtures of `verify`: the small suite, measured, published and verified on the command line."""

from __future__ import annotations

import textwrap
from functools import partial
from pathlib import Path

import pytest

from benchmarks.pages.publication import publish_suite
from benchmarks.records.published import PublishedSuite
from benchmarks.records.store import Store
from benchmarks.suites.files import load_suite
from benchmarks.suites.suite import Suite
from tests.benchmarks.conftest import Cli
from tests.benchmarks.gate.small_suite import SUITE, measure


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suite") / "own.yaml"
    path.write_text(textwrap.dedent(SUITE))
    return load_suite(str(path))


@pytest.fixture(scope="module")
def store(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All cells of the suite, measured."""
    return measure(suite, tmp_path_factory.mktemp("work"))


@pytest.fixture
def published(suite: Suite, store: Store, tmp_path: Path) -> PublishedSuite:
    return publish_suite(suite, store, tmp_path / "published").suite


@pytest.fixture
def verify_(cli: Cli, tmp_path: Path) -> Cli:
    """`verify` on the command line, in a folder with the file of the suite."""
    (tmp_path / "own.yaml").write_text(textwrap.dedent(SUITE))
    return partial(cli, "verify", "--suite", "own.yaml", "--results", "published", "--engine", "inline")
