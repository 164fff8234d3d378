"""`figures` and `tables` on the command line: the files that they write, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tasks import TASKS

PUBLISHED = str(Path(__file__).parents[3] / "results/published")
Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_a_figure_is_written_as_pdf_svg_and_png_the_same_each_time(cli: Cli, tmp_path: Path) -> None:
    again = []
    for folder in ("one", "two"):
        code, out, _ = cli(
            "figures", "--suite", "frontier", "--network", "resnet20", "--figure", "energy",
            "--results", PUBLISHED, "--to", folder,
        )  # fmt: skip
        assert code == 0 and out.split() == [f"{folder}/energy-frontier-cifar10-resnet20.png"]
        files = sorted((tmp_path / folder).iterdir())
        assert [path.suffix for path in files] == [".pdf", ".png", ".svg"]
        again.append([path.read_bytes() for path in files])
    assert again[0] == again[1]
    pdf, png, svg = files
    assert pdf.read_bytes().startswith(b"%PDF") and "% of the ANN" in svg.read_text()
    with Image.open(png) as image:
        assert image.width == 1400  # 7 inches at 200 dots an inch.


@pytest.mark.slow
def test_figures_without_records_are_drawn_by_number(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("figures", "--figure", "5", "--figure", "6", "--to", "drawn")
    assert code == 0 and out.split() == ["drawn/neuron-phi.png", "drawn/neuron-rho.png"]


@pytest.mark.parametrize("command", ["figures", "tables"])
def test_a_suite_without_records_is_said(cli: Cli, command: str) -> None:
    code, _, err = cli(command, "--suite", "figure8")
    assert code == 2 and "There are no records of suite figure8" in err and "run it first" in err


def test_a_figure_that_no_record_holds_names_the_run_that_makes_it(cli: Cli) -> None:
    code, _, err = cli("figures", "--suite", "frontier", "--figure", "4", "--results", PUBLISHED, "--to", "drawn")
    assert code == 2
    assert (
        "No record of frontier holds what figure frontier (the paper's 4) shows" in err and "the suite figure3" in err
    )


def test_where_the_selection_holds_no_figure_that_is_an_error(cli: Cli) -> None:
    code, out, err = cli("figures", "--suite", "frontier", "--method", "ann", "--results", PUBLISHED, "--to", "drawn")
    assert code == 2 and not out and "No figure can be drawn: No record of frontier holds what figure" in err


def test_a_figure_that_is_none_is_refused_with_those_that_are(cli: Cli) -> None:
    code, _, err = cli("figures", "--figure", "10")
    assert code == 2 and "There is no figure called '10'" in err
    code, _, err = cli("figures", "--figure", "2")
    assert code == 2 and "docs/adaptive.md" in err


def test_figure_7_needs_predictions_and_the_samples_that_they_are_of(cli: Cli) -> None:
    code, _, err = cli("figures", "--suite", "frontier", "--figure", "7", "--results", PUBLISHED, "--to", "drawn")
    assert code == 2 and "(the paper's 7)" in err and "the suites bccd, camvid and mini measure" in err
    code, _, err = cli(
        "figures", "--suite", "bccd", "--figure", "7", "--results", PUBLISHED, "--to", "drawn", "--data-root", "nowhere"
    )
    assert code == 2 and "Figure 7 of bccd needs its test samples (--data-root)" in err and "nowhere" in err


@pytest.mark.slow
def test_figures_are_named_as_they_are_drawn_and_what_is_missing_after_them(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two tasks whose samples are drawn one has other data than its records."""
    monkeypatch.setattr(TASKS["mini_parts"], "digest", lambda self: "another")
    code, out, err = cli(
        "figures", "--suite", "mini", "--task", "mini_detection", "--task", "mini_parts", "--figure", "7", "--results",
        PUBLISHED, "--to", "drawn",
    )  # fmt: skip
    assert code == 2 and out.split() == ["drawn/predictions-mini-mini_detection-yolov2_mini-first-128.png"]
    assert "The data of mini_parts" in err and "mini_detection" not in err


def test_the_two_more_of_the_kind_are_refused_as_well(cli: Cli, tmp_path: Path) -> None:
    """A selection of cells without a figure's records; and a file where the folder of the files should be."""
    code, _, err = cli(
        "figures", "--suite", "mini", "--task", "mini_parts", "--figure", "8", "--results", PUBLISHED, "--to", "drawn"
    )
    assert code == 2 and "it needs adafire_ssc" in err
    (tmp_path / "file").write_text("")
    code, _, err = cli("tables", "--suite", "frontier", "--results", PUBLISHED, "--to", "file")
    assert code == 2 and "cannot be" in err
