"""The documentation's examples work as written, and its names exist."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from adapters import NETWORKS, find_weights, load_weights
from benchmarks.pages.catalogue import with_tables
from benchmarks.pages.leaderboard import leaderboard
from benchmarks.site.page import PAGE
from benchmarks.suites.files import load_suite
from benchmarks.suites.shipped import suite_names
from conversion.counting.prices import PRICES
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


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/conversion.md"])
def test_the_library_snippet_runs(page: str, digits: dict[str, object]) -> None:
    names = dict(digits)
    (snippet,) = blocks(page, "python")
    exec(snippet, names)
    readout = names["readout"]
    ann, images = digits["ann"], digits["images"]
    assert (readout.mean(8).argmax(1) == ann(images).argmax(1)).float().mean() > 0.95  # type: ignore[attr-defined,operator]


@pytest.mark.slow
def test_the_snippets_of_the_module_run(digits: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    names, snippets = dict(digits), blocks("docs/module.md", "python")
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, names)
    printed = capsys.readouterr().out
    assert "SNN, graded" in printed and "adds most error" in printed
    snn, logits, ann, images = names["snn"], names["logits"], digits["ann"], digits["images"]
    assert (logits.argmax(1) == ann(images).argmax(1)).float().mean() > 0.9  # type: ignore[attr-defined,operator]
    assert all(weight.grad is not None for weight in snn.parameters())  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.data
def test_the_example_of_training_through_spikes_runs(
    real_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ["--images", "50", "--test", "20"]
    monkeypatch.setattr(
        sys, "argv", ["finetune.py", "--data-root", str(real_data), "--weights", str(real_data), *sizes]
    )
    runpy.run_path(str(ROOT / "docs/examples/finetune.py"), run_name="__main__")
    assert re.search(r"converted, T = 2: .*\nfine-tuned: ", capsys.readouterr().out)


@pytest.mark.slow
def test_the_snippets_of_exchange_run(
    digits: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nir")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names = dict(digits)
    exec("from conversion import capture, convert, simulate\ngraph = capture(ann.eval(), example)", names)
    for snippet in blocks("docs/exchange.md", "python"):
        exec(snippet, names)
    said = capsys.readouterr().out
    assert " 0 of them other when the file is read again" in said and " 0 that differ otherwise" in said


@pytest.mark.slow
def test_the_snippet_of_running_from_python_runs(tmp_path: Path) -> None:
    """The example runs as a script of its own, since its workers import it."""
    (snippet,) = blocks("docs/running.md", "python")
    (tmp_path / "trial.py").write_text(f"{snippet}    print(len(everything))\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "trial.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert [row[1] for row in rows[1:-1]] == ["ann", "burst:phi=4", "burst:phi=4"]
    assert rows[-1] == ["13"]
    assert (tmp_path / "results/trial/smoke-first-100/results.md").is_file()


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
    """The costs are the same for all metrics."""
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
    found: dict[Any, str] = {}
    for task, network, head, body in re.findall(TABLE, (ROOT / f"docs/{page}.md").read_text(), flags=re.M):
        steps = [int(T) for T in re.findall(r"T=(\d+)", head)]
        for line in body.splitlines():
            method, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found |= {(task, network, method.strip("`"), T): cell for T, cell in zip(steps, cells, strict=True) if cell}
    keys: list[Any] = list(rows.index)
    assert found == {key: _shown(key[-1], row) for key, (_, row) in zip(keys, rows.iterrows(), strict=True)}


def _shown(T: int, row: pd.Series) -> str:
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


CODED = re.compile(r"^\| `(\S+)`, T=(\d+)([^|]*)\| (.*) \|$", re.MULTILINE)


@pytest.mark.parametrize(("page", "least"), [("README.md", 3), ("docs/codes.md", 12)])
def test_the_rows_of_codes_are_the_published_ones(page: str, least: int) -> None:
    """Accuracy (energy in percent) of ResNet-20, and where there are more columns of ResNet-32 as well."""
    rows = CODED.findall((ROOT / page).read_text())
    assert len(rows) >= least
    for method, T, note, line in rows:
        suite = re.search(r"suite `(\w+)`", note)
        published = pd.read_csv(ROOT / f"results/published/{suite[1] if suite else 'frontier'}/results.csv")
        published = published[(published["profile"] == "full") & (published["method"] == method)]
        published = published[published["T"] == int(T)].set_index("network")
        cells = [cell.strip() for cell in line.split("|")]
        for network, cell in zip(["resnet20", "resnet32"], cells[::3], strict=False):
            if cell:
                row = published.loc[network]
                energy = 100 * row["energy_unary_mJ"] / row["energy_ann_mJ"]
                assert cell == f"{row['value']:.2f} ({energy:.1f})", (method, network)


def test_the_leaderboard_is_that_of_the_published_results() -> None:
    frames = [pd.read_csv(path) for path in sorted((ROOT / "results/published").glob("*/results.csv"))]
    assert (ROOT / "leaderboard.md").read_text() == leaderboard(pd.concat(frames, ignore_index=True))


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#]+?)\)", prose):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_every_term_of_the_glossary_is_used() -> None:
    """By its own words, or by the name in the code that stands in brackets behind it."""
    code = [path for room in ("conversion", "tasks", "adapters", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    pages = [path for path in (ROOT / "docs").glob("*.md") if path.name != "glossary.md"]
    used = " ".join(path.read_text() for path in [*code, *pages, ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
    used = re.sub(r"[\s#>_]+", " ", used).lower()
    entries = re.findall(r"^- (.+?): ", (ROOT / "docs/glossary.md").read_text(), flags=re.MULTILINE)
    assert len(entries) >= 70
    for entry in entries:
        for term in re.findall(r"\*\*(.+?)\*\*", entry):
            words = [word.replace("_", " ").lower() for word in (term, *re.findall(r"`(.+?)`", entry))]
            assert any(re.search(rf"\b{re.escape(word)}(s|es)?\b", used) for word in words), term


def test_the_glossary_says_each_term_once() -> None:
    terms = re.findall(r"\*\*(.+?)\*\*", (ROOT / "docs/glossary.md").read_text())
    assert len(terms) == len(set(terms))


def test_the_picture_of_the_rooms_is_that_of_the_contracts() -> None:
    picture = runpy.run_path(str(ROOT / "docs/pictures/rooms.py"))["picture"]
    stored = (ROOT / "docs/pictures/rooms.svg").read_text()
    assert stored == picture(), "rooms have changed; run `python docs/pictures/rooms.py` and commit the picture"


def test_files_that_pages_name_exist() -> None:
    named = r"`((?:adapters|benchmarks|conversion|docs|tasks|tests)/[\w./]+)`"
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        missing = [path for path in re.findall(named, page.read_text()) if not (ROOT / path).exists()]
        assert missing == [], page.name


def test_the_citation_is_that_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (package["version"], package["license"])
    (paper,) = citation["references"]
    assert paper["title"] in (ROOT / "README.md").read_text()


def test_continuous_integration_on_github_is_that_of_any_machine() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert flow["jobs"]["ci"]["steps"][-1] == {"run": "bash .ci/run"}
    made = re.findall(r"^make (.+)", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    assert {"test", "lint", "docs"} <= {word for line in made for word in line.split()}


def test_the_site_on_github_has_the_page_of_published_results() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text())
    steps = flow["jobs"]["pages"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    (report,) = [command for command in commands if "run_all.py" in command]
    assert commands[0] == "make docs" and "report" in report and "--results results/published" in report
    assert commands[-1] == f"cp results/published/{PAGE} build/site/"
    assert [step["with"]["path"] for step in steps if "upload-pages" in step.get("uses", "")] == ["build/site"]


def test_hooks_before_a_commit_run_the_tools_of_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {Path(hook["entry"].split()[0]).name for hook in local["hooks"]}
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert hooks == {"ruff", "mypy"} and all(f"/{tool}" in lint for tool in hooks)


def test_forms_for_issues_ask_for_something() -> None:
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= set(form)
        assert any(field.get("validations", {}).get("required") for field in form["body"])


@pytest.mark.slow
def test_from_an_onnx_file_to_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The snippets of the page, one after the other in a fresh folder."""
    pytest.importorskip("onnx", reason="ONNX files need the extra 'onnx': pip install -e '.[onnx]'")
    from conversion.capture.onnx.rules import RULES

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RULES, "Relu6", lambda node, x: x)  # So that it is taken out again.
    names: dict[str, Any] = {}
    for snippet in blocks("docs/any_network.md", "python"):
        exec(snippet, names)
    rows = capsys.readouterr().out.splitlines()
    assert [row[:5] for row in rows[:4]] == ["ANN  ", "T = 1", "T = 2", "T = 4"]
    accuracies = [float(row[5:].split()[0]) for row in rows[:4]]
    assert [row[:12].strip() for row in rows[5:]] == ["ANN", "SNN, unary", "SNN, smalles", "SNN, binary", "SNN, graded"]
    # The file is the network, which classifies 97 % of the digits; bursts of 4 come near it in 4 steps.
    assert accuracies[0] > 94 and abs(accuracies[3] - accuracies[0]) < 3
