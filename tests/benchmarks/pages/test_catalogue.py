"""The tables of tasks and networks: every one is there, with what its class says."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from adapters import NETWORKS
from benchmarks.pages.catalogue import Kind, networks_table, print_catalogue, tasks_table, with_tables
from tasks import TASKS


@pytest.mark.parametrize(("kind", "names"), [("tasks", list(TASKS)), ("networks", list(NETWORKS))])
def test_a_terminal_shows_every_one_on_a_line_of_its_own(kind: Kind, names: list[str]) -> None:
    console = Console(file=io.StringIO(), width=240)
    print_catalogue(kind, console)
    assert isinstance(console.file, io.StringIO)
    lines = [line.split("│")[0].strip() for line in console.file.getvalue().splitlines()[2:]]
    assert [line for line in lines if line] == names


def test_rows_say_what_the_classes_say() -> None:
    tasks = {line.split(" | ")[0]: line for line in tasks_table().splitlines()}
    assert "| image classification | 10 | 3x32x32 | cifar-10-batches-py/" in tasks["| `cifar10`"]
    assert r"\*.png" in tasks["| `cifar10`"] and "Licence: MIT" in tasks["| `bccd`"]
    ncars = tasks["| `ncars ncars_temporal ncars_toframe ncars_tovoxelgrid`"]
    assert "18x100x120, 16x2x100x120, 9x100x120" in ncars
    networks = {line.split(" | ")[0]: line for line in networks_table().splitlines()}
    assert "published for the classes of cifar10 (`<name>-*.th`)" in networks["| `resnet20 resnet32 resnet44 resnet56`"]
    assert "shipped for `digits`" in networks["| `digits_convnet`"] and "`train` it" in networks["| `vgg16`"]
    assert "multiples of 16" in networks["| `yolov2_light`"]


def test_only_what_stands_between_the_marks_is_written() -> None:
    page = "Before.\n<!-- networks -->\nold\n<!-- end -->\nAfter. <!-- end -->\n"
    assert with_tables(page) == f"Before.\n<!-- networks -->\n{networks_table()}<!-- end -->\nAfter. <!-- end -->\n"
