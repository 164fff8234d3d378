"""Suite files and the selection of cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cells import Cell
from benchmarks.suite import Suite, load_suite, select, suite_names
from conversion.errors import BenchmarkError, InvalidInput, UnknownName

MINIMAL = """
name: own
title: Own
entries:
  - tasks: [digits]
    networks: [digits_convnet]
    methods: [calibration, {burst: {phi: 2}}]
    T: [1, 4]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", suite_names())
def test_every_shipped_suite_is_valid_and_its_cells_are_unique(name: str) -> None:
    cells = load_suite(name).cells()
    assert len({cell.id for cell in cells}) == len(cells) > 0
    assert load_suite(name).name == name


def test_a_suite_is_the_product_of_its_lists_with_the_ann_once(tmp_path: Path) -> None:
    cells = load_suite(write(tmp_path, MINIMAL)).cells()
    assert [(cell.recipe.label, cell.T) for cell in cells] == [
        ("ann", None), ("calibration", 1), ("calibration", 4), ("burst:phi=2", 1), ("burst:phi=2", 4),
    ]  # fmt: skip


def test_a_cell_keeps_its_identity_when_another_method_joins_the_suite(tmp_path: Path) -> None:
    before = {cell.id for cell in load_suite(write(tmp_path, MINIMAL)).cells()}
    joined = MINIMAL.replace("[calibration", "[{quantised_ann: {phi: 1}}, calibration")
    after = {cell.id for cell in load_suite(write(tmp_path, joined)).cells()}
    assert before < after


def test_every_part_of_the_spec_changes_the_identity() -> None:
    cell = load_suite("smoke").cells()[-1]
    changes = {"task": "a", "network": "b", "method": "ann", "options": {"phi": 9}, "T": 3, "seed": 1, "limit": 5}
    ids = {cell.model_copy(update={field: value}).id for field, value in (changes | {"calibration": 7}).items()}
    assert len(ids | {cell.id}) == len(changes) + 2


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("methods:", "metods:", InvalidInput, "did you mean 'methods'"),
        ("T: [1, 4]", "T: [0, 4]", InvalidInput, "T is 0"),
        ("T: [1, 4]", "T: []", InvalidInput, "entries.0.T"),
        ("{phi: 2}", "{phi: 0}", InvalidInput, "'phi' = 0"),
        ("{phi: 2}", "{phy: 2}", UnknownName, "did you mean phi"),
        ("{phi: 2}", "{}", InvalidInput, "needs the option 'phi'"),
        ("burst", "brust", UnknownName, "did you mean burst"),
        ("[digits]", "[digit]", UnknownName, "did you mean digits"),
        ("digits_convnet", "resnet20", InvalidInput, "does not fit task digits"),
        ("title: Own", "title: [", InvalidInput, "line"),
        ("title: Own", "title: Own\nprice_list: horowitz54", UnknownName, "did you mean horowitz45"),
        ("title: Own", "title: Own\ncalibration: 0", InvalidInput, "calibration"),
        ("name: own", "name: mini", InvalidInput, "as a shipped one is"),
    ],
)
def test_a_malformed_suite_is_refused_with_what_to_mend(
    tmp_path: Path, old: str, new: str, error: type[BenchmarkError], said: str
) -> None:
    assert old in MINIMAL
    with pytest.raises(error, match=said.replace("'", ".").replace("[", ".")):
        load_suite(write(tmp_path, MINIMAL.replace(old, new)))


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean smoke"):
        load_suite("smok")


class TestSelection:
    suite: Suite = load_suite("mini")

    def labels(self, **options: list[str] | list[int]) -> set[tuple[str, int | None]]:
        return {(cell.recipe.label, cell.T) for cell in select(self.suite.cells(), **options)}  # type: ignore[arg-type]

    def test_patterns_match_names_and_labels_and_keep_the_reference(self) -> None:
        assert self.labels(methods=["burst:phi=?"], steps=[4]) == {
            ("ann", None), ("burst:phi=2", 4), ("burst:phi=4", 4), ("burst:phi=8", 4),
        }  # fmt: skip
        assert ("burst:phi=4,signed=True", 4) in self.labels(methods=["burst"], steps=[4])

    def test_the_ann_alone(self) -> None:
        assert self.labels(methods=["ann"]) == {("ann", None)}

    def test_T_below_one_is_refused_before_anything_else(self) -> None:
        with pytest.raises(InvalidInput, match="T is 0"):
            self.labels(steps=[0], methods=["nonsense"])

    def test_what_the_suite_lacks_is_named_with_what_it_has(self) -> None:
        with pytest.raises(BenchmarkError, match=r"no T '3'\. It has 1, 2, 4, 8, 16, 32"):
            self.labels(steps=[3])
        with pytest.raises(BenchmarkError, match="Did you mean burst"):
            self.labels(methods=["brust"])


def test_a_limited_suite_has_its_own_name_and_profile() -> None:
    suite = load_suite("mini").adjusted(limit=50)
    assert suite.name == "mini-first-50"
    assert {cell.profile for cell in suite.cells()} == {"first-50"}
    assert {cell.id for cell in suite.cells()}.isdisjoint(cell.id for cell in load_suite("mini").cells())


def test_an_option_at_its_default_is_the_same_cell() -> None:
    cell = next(c for c in load_suite("mini").cells() if c.recipe.label == "burst:phi=4")
    spelt = Cell(**{**cell.model_dump(), "options": {"phi": 4, "light": True}})
    assert spelt == cell
    assert spelt.id == cell.id


@pytest.mark.parametrize(
    ("added", "error", "message"),
    [
        ("iso_energy: {budgets: [0.2], reference: x, families: {a: ['*']}}", UnknownName, "family of iso_energy"),
        ("iso_energy: {budgets: [0.2], reference: a, families: {a: [burts*]}}", InvalidInput, "'burts.' .*no method"),
        ("iso_energy: {budgets: [-1], reference: a, families: {a: ['*']}}", InvalidInput, "greater than 0"),
        ("iso_energy: {budget: [1], reference: a, families: {a: ['*']}}", InvalidInput, "did you mean 'budgets'"),
        ("ablation: {paper: CIFAR-10, baseline: calibrations, rows: {}}", UnknownName, "named in its ablation"),
        ("ablation: {paper: CIFAR-10, baseline: calibration, rows: {AdaFire: adafire}}", UnknownName, "'adafire'"),
    ],
)  # fmt: skip
def test_comparisons_of_what_the_suite_does_not_have_are_refused(
    tmp_path: Path, added: str, error: type[BenchmarkError], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_suite(write(tmp_path, MINIMAL + added + "\n"))
