"""What the documentation shows works as written, and names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from adapters import NETWORKS, find_weights, load_weights
from benchmarks.pages.catalogue import with_tables
from benchmarks.pages.leaderboard import leaderboard
from benchmarks.references.prices import PRICES
from benchmarks.suites.files import load_suite, suite_names
from conversion.methods import METHODS
from tasks import TASKS

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def digits() -> dict[str, object]:
    """The names that the snippets take for granted."""
    task = TASKS["digits"]()
    adapter = NETWORKS["digits_convnet"](task)
    ann = adapter.build()
    load_weights(ann, find_weights("digits_convnet", "digits", None))
    images = adapter.encode(next(task.test(50)).inputs)
    return {
        "ann": ann, "example": images[:1], "images": images,
        "calibration_batches": adapter.encode(task.calibration(64, seed=0)).split(32),
    }  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "docs/conversion.md"])
def test_the_library_snippet_runs(page: str, digits: dict[str, object]) -> None:
    names = dict(digits)
    (snippet,) = blocks(page, "python")
    exec(snippet, names)
    readout = names["readout"]
    ann, images = digits["ann"], digits["images"]
    assert (readout.mean(8).argmax(1) == ann(images).argmax(1)).float().mean() > 0.95  # type: ignore[attr-defined,operator]


def test_the_suite_in_the_documentation_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("docs/suites.md", "yaml")
    (tmp_path / "own.yaml").write_text(text)
    suite = load_suite(str(tmp_path / "own.yaml"))
    assert {cell.network for cell in suite.cells()} == {"vgg16", "resnet20_wide"}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/methods.md", METHODS), ("docs/energy.md", PRICES), ("docs/suites.md", TASKS),
        ("docs/suites.md", NETWORKS), ("results/README.md", [name for name in suite_names() if name != "smoke"]),
    ],
)  # fmt: skip
def test_every_name_has_its_place_in_the_documentation(page: str, names: list[str]) -> None:
    text = (ROOT / page).read_text()
    assert [name for name in names if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)] == []


def test_the_tables_of_tasks_and_networks_are_those_of_their_classes() -> None:
    page = (ROOT / "docs/suites.md").read_text()
    # After a change: python -m benchmarks.pages.catalogue docs/suites.md
    assert page == with_tables(page)
    assert page.count("<!-- end -->") == 2


def test_published_pages_say_once_for_each_network_what_it_costs() -> None:
    """Of several metrics the costs are the same."""
    pages = [path.read_text() for path in ROOT.glob("results/published/*/results.md")]
    assert len(pages) >= 5
    for page in pages:
        assert page.count("Energy, % of the ANN's, unary / graded:") == page.count("\n## ") > 0


TABLE = r"^\| `(\w+)`, `(\w+)` \|(.*)\n\| --- .*\n((?:\| `.*\n)+)"


@pytest.mark.parametrize(
    ("page", "suites"),
    [("dense", ["bccd", "camvid"]), ("events", ["ncars", "nmnist"]), ("points", ["coseg_vases", "shrec16"])],
)
def test_the_tables_of_the_documentation_are_the_published_ones(page: str, suites: list[str]) -> None:
    published = pd.concat([pd.read_csv(ROOT / f"results/published/{suite}/results.csv") for suite in suites])
    published = published[published["metric"] == [TASKS[task].primary_metric for task in published["task"]]]
    rows = published[published["method"] != "ann"].set_index(["task", "network", "method", "T"])
    found = {}
    for task, network, head, body in re.findall(TABLE, (ROOT / f"docs/{page}.md").read_text(), flags=re.M):
        steps = [int(T) for T in re.findall(r"T=(\d+)", head)]
        for line in body.splitlines():
            method, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found |= {(task, network, method.strip("`"), T): cell for T, cell in zip(steps, cells, strict=True) if cell}
    assert found == {key: _shown(key[-1], row) for key, row in rows.iterrows()}


def _shown(T: int, row: pd.Series) -> str:  # type: ignore[type-arg]
    steps = "" if row["mean_T"] in (1, T) else f", {row['mean_T']:.1f} steps"
    return f"{row['value']:.2f} ({100 * row['energy_unary_mJ'] / row['energy_ann_mJ']:.0f}{steps})"


def test_the_figures_of_the_readme_are_the_published_ones() -> None:
    published = pd.read_csv(ROOT / "results/published/cifar10/results.csv")
    published = published[published["profile"] == "full"]
    rows = re.findall(r"^\| `([a-z].*?)` \| (.*\d\)) \|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= 5
    for method, figures in rows:
        measured = published[published["method"] == method].sort_values("T")
        shown = []
        for row in measured.to_dict("records"):
            unary, graded = (100 * row[f"energy_{c}_mJ"] / row["energy_ann_mJ"] for c in ("unary", "graded"))
            shown.append(f"{row['value']:.2f} ({unary:.1f} / {graded:.1f})")
        assert figures == " | ".join(shown)


def test_the_leaderboard_is_that_of_the_published_results() -> None:
    frames = [pd.read_csv(path) for path in sorted((ROOT / "results/published").glob("*/results.csv"))]
    assert (ROOT / "leaderboard.md").read_text() == leaderboard(pd.concat(frames, ignore_index=True))


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
