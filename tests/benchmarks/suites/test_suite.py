"""Suite files and the selection of cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from benchmarks.suites.selection import select
from benchmarks.suites.shipped import suite_names
from benchmarks.suites.suite import Suite
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


def test_a_block_may_have_its_own_number_of_calibration_samples(tmp_path: Path) -> None:
    text = MINIMAL.replace("title: Own", "title: Own\ncalibration: 300") + "    calibration: 40\n"
    suite = load_suite(write(tmp_path, MINIMAL + text.split("entries:\n")[1]))
    assert {cell.calibration for cell in suite.cells()} == {40, 512}
    assert {cell.calibration for cell in load_suite(write(tmp_path, text)).cells()} == {40}


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


# Lines of MINIMAL: 2 name, 3 title, 4 entries, 5 tasks, 6 networks, 7 methods, 8 T.
@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("methods:", "method:", 7, "there is no key 'method' in an entry; did you mean 'methods'?"),
        ("title: Own", "titel: Own", 3, "there is no key 'titel' in a suite; did you mean 'title'?"),
        ("T: [1, 4]", "tasks_: []", 8, "there is no key 'tasks_' in an entry; did you mean 'tasks'?"),
        ("    T: [1, 4]\n", "", 5, "the key 'T' is missing in an entry."),
        ("T: [1, 4]", "T: [0, 4]", 8, "'T' is 0; it should be greater than or equal to 1."),
        ("T: [1, 4]", "T:\n    - 1\n    - -3", 10, "'T' is -3; it should be greater than or equal to 1."),
        ("T: [1, 4]", "T: ['4']", 8, "'T' is '4'; it should be a valid integer."),
        ("T: [1, 4]", "T: [true]", 8, "'T' is True; it should be a valid integer."),
        ("T: [1, 4]", "T: 4", 8, "'T' is 4; it should be a valid list."),
        ("T: [1, 4]", "T: []", 8, "'T' is wrong: List should have at least 1 item"),
        ("T: [1, 4]", "T: [1]\n    seeds: [-1]", 9, "'seeds' is -1; it should be greater than or equal to 0."),
        ("{phi: 2}", "{phi: 0}", 7, "'phi' is 0; it should be greater than or equal to 1."),
        ("{burst: {phi: 2}}", "\n      burst: {\n      phy: 2}", 9, "there is no key 'phy' in the options"),
        ("{phi: 2}", "{phy: 2}", 7, "there is no key 'phy' in the options of method 'burst'; did you mean 'phi'?"),
        ("{phi: 2}", "{}", 7, "the key 'phi' is missing in the options of method 'burst'."),
        ("{burst: {phi: 2}}", "{burst: }", 7, "in 'methods': A method is a name, or a name with options, as in"),
        ("{burst: {phi: 2}}", "{}", 7, "in 'methods': A method is a name, or a name with options, as in"),
        ("burst: {phi: 2}", "adafire: {samples: 0}", 7, "in 'adafire': AdaFire searches on 0 samples; give at"),
        ("burst", "brust", 7, "in 'brust': There is no method called 'brust'; did you mean burst or robustnorm?"),
        ("[digits]", "[digit]", 5, "in 'tasks': There is no task called 'digit'; did you mean digits?"),
        ("s_convnet", "_convnet", 6, "in 'networks': There is no network called 'digit_convnet'; did you mean"),
        ("digits_convnet", "resnet20", 6, "in 'networks': Network resnet20 does not fit task digits: it takes"),
        ("title: Own", "title: [", 5, "expected the node content, but found '-' while parsing a flow node."),
        ("    T: [1", "\tT: [1", 8, "YAML indents with spaces; there is a tab."),
        ("title: Own", "title: O\x01wn", 3, "YAML takes no character 0x01."),
        ("title: Own", "title: 2020-13-45", 3, "month must be in 1..12."),
        ("title: Own", "title: Own\n3: 4", 4, "'3' is wrong: Keys should be strings."),
        ("title: Own", "title: Own\nname: two", 4, "the key 'name' is there twice, first in line 2; drop one"),
        ("{phi: 2}", "{phi: 2, phi: 3}", 7, "the key 'phi' is there twice, first in line 7; drop one of the two."),
        ("title: Own", "title: Own\nprice_list: horowitz54", 4, "in 'price_list': There is no price list called 'horo"),
        ("title: Own", "title: Own\ncalibration: 0", 4, "'calibration' is 0; it should be greater than or equal to 1."),
        ("title: Own", "title: Own\ntime_limit: 0", 4, "'time_limit' is 0; it should be greater than 0."),
        ("title: Own", "title: Own\ntime_limit: .inf", 4, "'time_limit' is inf; it should be a finite number."),
        ("name: own", "name: mini", 2, "'name' is mini, as a shipped suite is called; choose a name of your own."),
        (MINIMAL, "- 1", 1, "a suite is a mapping of keys, among them name, title and entries."),
    ],
)  # fmt: skip
def test_a_malformed_suite_is_refused_with_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert MINIMAL.count(old) == 1
    path = write(tmp_path, MINIMAL.replace(old, new))
    with pytest.raises(InvalidInput) as refused:
        load_suite(path)
    assert f"{path}, line {line}: {said}" in str(refused.value)
    # One mistake is one sentence.
    assert len(str(refused.value).splitlines()) == 1 or old == MINIMAL or "tasks_" in new


def test_every_mistake_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("title: Own", "colour: red").replace("[1, 4]", "[1, x, 0]"))
    with pytest.raises(InvalidInput) as refused:
        load_suite(path)
    lines = str(refused.value).removeprefix(path).split(f"\n{path}")
    assert [line.split(":")[0] for line in lines] == [", line 2", ", line 3", ", line 8", ", line 8"]
    assert "known: name, title, note," in lines[1]


def test_keys_that_are_merged_in_are_no_duplicates(tmp_path: Path) -> None:
    merged = "  - &block\n    tasks" + MINIMAL.split("- tasks")[1] + "  - <<: *block\n    T: [2]\n    seeds: [0, x]\n"
    text = MINIMAL.split("  - tasks")[0] + merged
    assert {cell.T for cell in load_suite(write(tmp_path, text.replace(", x", ""))).cells()} == {None, 1, 2, 4}
    with pytest.raises(InvalidInput, match=r"line 12: 'seeds' is 'x'"):
        load_suite(write(tmp_path, text))


def test_a_key_of_ones_own_may_replace_one_that_is_merged_in(tmp_path: Path) -> None:
    text = MINIMAL.replace("  - tasks", "  - &base\n    tasks")
    text += "  - <<: &more {<<: *base, T: [8]}\n    T: [2]\n  - <<: *more\n"
    assert {cell.T for cell in load_suite(write(tmp_path, text)).cells()} == {None, 1, 2, 4, 8}
    with pytest.raises(InvalidInput, match="line 11: 'T' is 0"):
        load_suite(write(tmp_path, text.replace("T: [2]", "T: [0]")))


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean smoke"):
        load_suite("smok")


def test_a_suite_file_that_is_elsewhere_or_named_without_its_suffix_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=r"There is no suite file own\.yaml; suites that ship are named without"):
        load_suite("own.yaml")
    write(tmp_path, MINIMAL)
    with pytest.raises(InvalidInput, match=r"There is no suite file ow\.yaml; did you mean own\.yaml\?"):
        load_suite("ow.yaml")
    with pytest.raises(InvalidInput, match=r"the file in this folder is named own\.yaml"):
        load_suite("own")


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
        with pytest.raises(BenchmarkError, match=r"no T '5'\. It has 1, 2, 3, 4, 8, 16, 32"):
            self.labels(steps=[5])
        with pytest.raises(BenchmarkError, match="Did you mean burst"):
            self.labels(methods=["brust"])


def test_a_limited_suite_has_its_own_name_and_profile() -> None:
    suite = load_suite("mini").adjusted(limit=50)
    assert suite.name == "mini-first-50"
    assert {cell.profile for cell in suite.cells()} == {"first-50"}
    assert {cell.id for cell in suite.cells()}.isdisjoint(cell.id for cell in load_suite("mini").cells())


def test_a_suite_at_an_energy_has_the_methods_that_can_aim_at_one() -> None:
    suite = load_suite("frontier").adjusted(energy=0.125, limit=7)
    assert suite.name == "frontier-first-7-at-12-5"
    labels = {cell.recipe.label for cell in suite.cells()}
    assert {"ann", "held:target=0.125", "held:exit=None,target=0.125"} <= labels
    assert not any(label.startswith("burst") for label in labels)
    assert {cell.T for cell in suite.cells() if cell.method == "held"} == {1, 2, 3}
    with pytest.raises(InvalidInput, match=r"No method of the suite cifar10 can aim at an energy; .* held, "):
        load_suite("cifar10").adjusted(energy=0.2)


def test_an_option_at_its_default_is_the_same_cell() -> None:
    cell = next(c for c in load_suite("mini").cells() if c.recipe.label == "burst:phi=4")
    spelt = Cell(**{**cell.model_dump(), "options": {"phi": 4, "light": True}})
    assert spelt == cell
    assert spelt.id == cell.id


@pytest.mark.parametrize(
    ("added", "line", "said"),
    [
        ("iso_energy:\n  budgets: [0.2]\n  reference: x\n  families: {a: ['*']}", 11, "in 'reference': There is"),
        ("iso_energy:\n  budgets: [1]\n  reference: a\n  families:\n    a:\n    - '*'\n    - burts*", 15, "'burts*'"),
        ("iso_energy: {budgets: [-1], reference: a, families: {a: ['*']}}", 9, "'budgets' is -1; it should be greater"),
        ("iso_energy: {budget: [1], reference: a, families: {a: ['*']}}", 9, "iso_energy; did you mean 'budgets'"),
        ("ablation: {paper: CIFAR-10,\n  baseline: calibrations, rows: {}}", 10, "in 'baseline': There is no method"),
        ("ablation: {paper: CIFAR-10, baseline: calibration, rows: {\n AdaFire: adafire}}", 10, "called 'adafire'"),
        ("ablation: {paper: CIFAR-10, baseline: calibration, rows: {\n SSC: adafire}}", 10, "it should be 'AdaFire',"),
    ],
)  # fmt: skip
def test_comparisons_of_what_the_suite_does_not_have_are_refused(
    tmp_path: Path, added: str, line: int, said: str
) -> None:
    path = write(tmp_path, MINIMAL + added + "\n")
    with pytest.raises(InvalidInput) as refused:
        load_suite(path)
    assert f"{path}, line {line}: " in str(refused.value) and said in str(refused.value)


def test_prices_of_the_command_line_are_checked_as_those_of_the_file() -> None:
    with pytest.raises(UnknownName, match="did you mean horowitz45"):
        load_suite("mini").adjusted(price_list="horowitz54")


def test_networks_of_a_hub_take_the_place_of_the_suites() -> None:
    """In a suite of its own name; or stand beside them, where others are asked for as well."""
    pytest.importorskip("timm", reason="hubs need the extra 'hubs': pip install -e '.[hubs]'")
    name = "timm/test_resnet.r160_in1k"
    suite = load_suite("imagenette").adjusted(networks=[name])
    assert suite.name == "imagenette-of-timm-test_resnet-r160_in1k"
    assert {(cell.task, cell.network) for cell in suite.cells()} == {("imagenette", name)}
    both = load_suite("imagenette").adjusted(networks=["torchvision/squeezenet*", name])
    assert {cell.network for cell in both.cells()} == {"torchvision/squeezenet1_0", name}
    assert load_suite("imagenette").adjusted(networks=["torchvision/squeezenet1_0"]).name == "imagenette"
    with pytest.raises(
        InvalidInput, match=r"Suite cifar10 has no task for it\. Network timm/test_resnet\S* does not fit"
    ):
        load_suite("cifar10").adjusted(networks=[name])
    with pytest.raises(UnknownName, match="no classifier of timm"):
        load_suite("imagenette").adjusted(networks=["timm/nothing"])


def test_cells_are_made_once_and_those_of_a_copy_anew() -> None:
    suite = load_suite("smoke")
    cells = suite.cells()
    cells.clear()  # The list is the caller's own.
    assert suite.cells()[0] is suite.cells()[0]
    shorter = suite.model_copy(update={"calibration": suite.calibration + 1})
    assert {cell.calibration for cell in shorter.cells()} == {suite.calibration + 1}
    assert {cell.calibration for cell in suite.cells()} == {suite.calibration}


def test_options_of_other_types_are_options_of_their_own() -> None:
    """A recipe is shared by cells of the same options: 1 is no True, and what is wrong is said each time."""
    given: dict[str, Any] = {
        "task": "digits", "network": "digits_convnet", "method": "burst", "T": 4, "seed": 0, "calibration": 16
    }  # fmt: skip
    first, again = (Cell(**given | {"options": {"phi": 3}, "seed": seed}) for seed in (0, 1))
    assert first.recipe is again.recipe and first.id != again.id and first.options == {"phi": 3}
    for _ in range(2):
        with pytest.raises(InvalidInput, match="option 'phi' = 'x'"):
            Cell(**given | {"options": {"phi": "x"}})
