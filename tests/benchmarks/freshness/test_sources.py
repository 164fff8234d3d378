"""Freshness by the code that is really used: deliberate changes in a copy of the source tree, and what they reach."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters import NETWORKS
from benchmarks.execution.plan import changed_modules
from benchmarks.execution.workbench import ROOT, Workbench
from benchmarks.freshness.sources import IMPORTED, PACKAGES, Sources, combined
from benchmarks.records.record import Record
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from conversion import InvalidInput
from conversion import stages as all_stages
from conversion.methods import METHODS
from conversion.registry import Registry
from tasks import TASKS

CELLS = [cell for cell in load_suite("mini").cells() if cell.task == "digits"]
BENCH = Workbench(None, None, "cpu", "float32")
Prints = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    return folder


@pytest.fixture
def tree(original: Path) -> Iterator[Path]:
    """A copy of the sources; what a test does to it is undone."""
    before = {path: path.read_bytes() for path in original.rglob("*.py")}
    yield original
    for path in original.rglob("*.py"):
        if path not in before:
            path.unlink()
        elif path.read_bytes() != before[path]:
            path.write_bytes(before[path])


@pytest.fixture(scope="module")
def before(original: Path) -> Prints:
    return prints(original)


def prints(folder: Path) -> Prints:
    """Fingerprints of all cells by the source text in a folder; names are those of the running code."""
    BENCH.source = Sources(folder)
    return {cell.id: BENCH.fingerprint(cell) for cell in CELLS}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def changed(before: Prints, after: Prints) -> dict[str, set[str]]:
    """The keys of the fingerprint that changed, by method; all cells of a method change alike."""
    found: dict[str, list[frozenset[str]]] = {}
    for cell in CELLS:
        keys = frozenset(key for key, value in after[cell.id].items() if before[cell.id][key] != value)
        found.setdefault(cell.method, []).append(keys)
    assert all(len(set(keys)) == 1 for keys in found.values())
    return {method: set(keys[0]) for method, keys in found.items() if keys[0]}


EVERY = {cell.method for cell in CELLS}
SSC = {"adafire_ssc", "adafire_ssc_iat"}
IAT = {"adafire_iat", "adafire_ssc_iat", "calibration_iat"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "methods", "key"),
    [
        ("conversion/stages/ssc.py", "1 + 0.5 * index", "1 + 0.25 * index", SSC, "method"),
        ("conversion/methods/ftbc.py", '"mse", self.phi, signed', '"max", self.phi, signed', {"ftbc"}, "method"),
        # A field of one of several methods in a file, and a base that others inherit from.
        ("conversion/methods/burst.py", 'register("burst")', 'register("Burst")', {"burst"}, "method"),
        ("conversion/methods/burst.py", 'default="mse"', 'default="max"', {"burst", "quantised_ann"}, "method"),
        ("conversion/methods/iat.py", "default=0.6", "default=0.5", IAT, "method"),
        ("conversion/stages/energy_aware.py", "2 * T / grid", "3 * T / grid", {"energy_aware"}, "method"),
        # Weights are tuned where an option says so; the method speaks of it in any case.
        ("conversion/stages/weights.py", "BATCH = 32", "BATCH = 16", {"calibration_advanced"}, "method"),
        ("conversion/simulation/simulate.py", "read[0] < 1", "read[0] < 2", EVERY, "evaluation"),
        ("conversion/simulation/neuron.py", "potential + total", "potential - total", EVERY, "evaluation"),
        ("conversion/capture/roles.py", "self min_val max_val", "self max_val min_val", EVERY, "evaluation"),
        ("conversion/capture/roles.py", "NONLINEAR, Transport.REDUCE)", "NONLINEAR)", EVERY, "evaluation"),
        ("tasks/images/digits.py", "0.3, 0.1, 0", "0.2, 0.1, 0", EVERY, "evaluation"),
        ("tasks/accuracy.py", "0.95", "0.9", EVERY, "evaluation"),
        ("adapters/images/digits.py", "nn.AvgPool2d(2)", "nn.MaxPool2d(2)", EVERY, "evaluation"),
        ("benchmarks/execution/evaluate.py", "EXIT_BATCHES = 4", "EXIT_BATCHES = 2", EVERY, "evaluation"),
    ],
)  # fmt: skip
def test_a_change_reaches_exactly_the_cells_that_use_it(
    tree: Path, before: Prints, file: str, old: str, new: str, methods: set[str], key: str
) -> None:
    edit(tree / file, old, new)
    found = changed(before, prints(tree))
    assert found.keys() == methods
    assert all(key in keys and keys <= {"method", "evaluation"} for keys in found.values())


def test_a_change_of_what_no_cell_uses_reaches_none(tree: Path, before: Prints) -> None:
    for file, old, new in [
        # How weights came about: their digest says which they are.
        ("adapters/training/loop.py", "import torch\n", "import torch\n\nCLIP = 1\n"),
        ("adapters/training/augmentations/images.py", "import torch\n", "import torch\n\nCLIP = 1\n"),
        ("adapters/initialisation.py", "def initialise(", "def initialise(more, "),
        ("adapters/base.py", "epochs: int = 300", "epochs: int = 200"),
        ("adapters/images/digits.py", "epochs=40", "epochs=4"),
        # Networks and tasks of other cells, reports, error messages, and what calls what is measured.
        ("tasks/images/cifar.py", "(0.4914, 0.4822, 0.4465)", "(0.5, 0.5, 0.5)"),
        # Where data and weights come from.
        ("tasks/images/digits.py", '"Handwritten digits of scikit-learn"', '"Digits"'),
        ("adapters/images/digits.py", '"A small residual network for grey images of 8x8"', '"Small"'),
        ("tasks/images/cifar.py", "VALIDATION_MAX = 5000", "VALIDATION_MAX = 500"),
        ("conversion/report/layers.py", "samples: int = 128", "samples: int = 64"),
        ("tasks/images/target.py", "WRITTEN, NAMED = 12, 100", "WRITTEN, NAMED = 20, 100"),
        ("tasks/target.py", "KEPT = 4", "KEPT = 8"),
        ("conversion/errors.py", "n=3, cutoff=0.5", "n=2, cutoff=0.5"),
        ("benchmarks/execution/workbench.py", "import platform", "import platform\nimport json"),
        ("benchmarks/pages/tables.py", "INTEGERS = [", 'INTEGERS = ["seed", '),
    ]:
        edit(tree / file, old, new)
    assert changed(before, prints(tree)) == {}


@pytest.mark.slow
def test_comments_docstrings_and_formatting_reach_nothing(tree: Path, before: Prints) -> None:
    rewritten = 0
    for path in [*(tree / "conversion").rglob("*.py"), *(tree / "tasks").rglob("*.py")]:
        # Parsed and printed again: no comment is left, and another way of breaking lines and quoting.
        parsed = ast.parse(path.read_text())
        for node in ast.walk(parsed):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                node.value.value = f"Other words. {node.value.value}"
        text = f"# A comment.\n\n\n{ast.unparse(parsed)}"
        rewritten += text.count("Other words. ")
        path.write_text(text)
    edit(tree / "conversion/capture/roles.py", "    INPUT = ", '    """Beside a member."""\n    INPUT = ')
    assert rewritten > 100
    assert changed(before, prints(tree)) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "_TABLE[torch.ops.aten.add] = OpRule(Role.NONLINEAR)",
        "_TABLE.update({torch.ops.aten.add: OpRule(Role.NONLINEAR)})",
        "_TABLE |= {torch.ops.aten.add: OpRule(Role.NONLINEAR)}",
        "for op in MERGES:\n    _TABLE[op] = OpRule(Role.NONLINEAR)",
        "def more(op):\n    _TABLE[op] = OpRule(Role.NONLINEAR)\n    return print\n\n@more(0)\ndef other(): ...",
        "OpRule.transport = None",
    ],
)  # fmt: skip
def test_a_table_is_reached_with_all_that_fills_it(tree: Path, before: Prints, statement: str) -> None:
    file = tree / "conversion/more_roles.py"
    imports = "import torch\nfrom conversion.capture.roles import _TABLE, MERGES, Role, OpRule\n"
    file.write_text(f"{imports}\n\n{statement}\n")
    between = prints(tree)
    assert changed(before, between).keys() == EVERY
    # Not only that it is there: what it does counts.
    edit(file, statement, statement.replace("NONLINEAR", "LINEAR").replace("None", "1"))
    assert changed(between, prints(tree)).keys() == EVERY


def test_a_table_is_reached_with_what_fills_it_further_down(tree: Path, before: Prints) -> None:
    with (tree / "conversion/capture/roles.py").open("a") as file:
        file.write("\n\n_TABLE[aten.add] = OpRule(Role.NONLINEAR)\n")
    assert changed(before, prints(tree)).keys() == EVERY


def test_what_registries_hold_is_not_reached_and_scripts_are_not_run(tree: Path, before: Prints) -> None:
    method = (
        'from conversion.methods.base import METHODS, Method\n\n\n@METHODS.register("new")\nclass New(Method): ...\n'
    )
    (tree / "conversion/methods/new.py").write_text(f"{method}\nMETHODS.register('newer')(New)\n")
    with (tree / "conversion/capture/roles.py").open("a") as file:
        file.write("\n\nif __name__ == '__main__':\n    _TABLE.clear()\n")
    assert changed(before, prints(tree)) == {}


@pytest.mark.slow
def test_the_same_name_from_another_module_is_another_definition(tree: Path, before: Prints) -> None:
    edit(
        tree / "conversion/simulation/readout.py",
        "import torch\n",
        "import torch\nfrom torch.nn.functional import pad\n",
    )
    edit(tree / "conversion/simulation/readout.py", "    value = value.to(", "    value = pad(value, [0]).to(")
    between = prints(tree)
    edit(
        tree / "conversion/simulation/readout.py",
        "from torch.nn.functional import pad",
        "from torch.special import pad",
    )
    assert changed(before, between).keys() == changed(between, prints(tree)).keys() == EVERY


@pytest.mark.slow
def test_a_process_that_runs_the_changed_code_says_the_same(tree: Path) -> None:
    edit(tree / "conversion/stages/ssc.py", "1 + 0.5 * index", "1 + 0.25 * index")
    shutil.copytree(ROOT / "adapters/checkpoints", tree / "adapters/checkpoints", dirs_exist_ok=True)
    script = (
        "import json; from benchmarks.execution.workbench import Workbench; "
        "from benchmarks.suites.files import load_suite; "
        "bench = Workbench(None, None, 'cpu', 'float32'); "
        "cells = [cell for cell in load_suite('mini').cells() if cell.task == 'digits']; "
        "print(json.dumps({cell.id: bench.fingerprint(cell) for cell in cells}))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tree, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == prints(tree)


def test_the_modules_that_changed_are_named(tree: Path) -> None:
    cell = next(cell for cell in CELLS if cell.method == "adafire_ssc")
    BENCH.source = Sources(tree)
    record = Record(cell=cell, status="done", sources=BENCH.sources(cell))
    assert changed_modules(record, record.sources) == []
    edit(tree / "conversion/stages/ssc.py", "1 + 0.5 * index", "1 + 0.25 * index")
    edit(tree / "conversion/counting/spikes.py", "2**16 - 1", "2**15 - 1")
    # A stage more, which the record knows nothing of.
    edit(tree / "conversion/methods/adaptive.py", "SSC(self.ssc_budget", "Quantise(), SSC(self.ssc_budget")
    edit(tree / "conversion/methods/adaptive.py", "import SSC,", "import SSC, Quantise,")
    BENCH.source = Sources(tree)
    now = BENCH.sources(cell)
    assert changed_modules(record, now) == [
        "conversion.counting.spikes", "conversion.methods.adaptive", "conversion.stages.quantise",
        "conversion.stages.ssc",
    ]  # fmt: skip
    # Records of before hold no sources: nothing can be said.
    assert changed_modules(record.model_copy(update={"sources": {}}), now) == []


PLUGIN = """
from pydantic import Field
from conversion.methods.base import METHODS, Method
from conversion.stages import Thresholds
from {name} import helper as helps

class Own(Method):
    name = "own"

    def stages(self):
        return (Thresholds(helps.rule(), 1),)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], type]]:
    """Imports a package of somebody's own, as it is written at that moment."""
    folder = tmp_path / "somebodys_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text(PLUGIN.format(name=folder.name))
    (folder / "helper.py").write_text("RULE = 'max'\n\n\ndef rule(): return RULE\n\n\ndef other(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load() -> type:
        import importlib

        found: type = importlib.import_module("somebodys_package.method").Own
        return found

    yield load
    for name in [name for name in sys.modules if name.startswith("somebodys_package")]:
        del sys.modules[name]


def test_a_plugin_is_followed_in_its_own_package(plugin: Callable[[], type], tmp_path: Path) -> None:
    own = plugin()
    before = Sources().of(own)
    assert {"somebodys_package.method", "somebodys_package.helper", "conversion.stages.thresholds"} <= before.keys()
    edit(tmp_path / "somebodys_package/helper.py", "return 1", "return 2")
    assert Sources().of(own) == before
    edit(tmp_path / "somebodys_package/helper.py", "'max'", "'mse'")
    after = Sources().of(own)
    assert [module for module in after if before[module] != after[module]] == ["somebodys_package.helper"]
    # Whatever was asked for before.
    asked = Sources()
    burst = asked.of(METHODS["burst"])
    assert (asked.of(own), asked.of(METHODS["burst"])) == (after, burst)


@pytest.mark.parametrize("registry", [TASKS, NETWORKS], ids=["tasks", "networks"])
def test_the_code_of_everything_that_ships_is_found(registry: Registry[type]) -> None:
    """Some are made by loops, and have to say where their code is."""
    sources = Sources()
    for name in registry:
        assert registry[name].__module__ in sources.of(registry[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("registry", "name", "file", "old", "new"),
    [
        (NETWORKS, "pointnet_max", "adapters/points/pointnet.py", 'reduce="max"\n', 'reduce="mean"\n'),
        (NETWORKS, "ultralytics/yolov8n-relu", "adapters/detection/ultralytics.py", '"-relu", nn.R', '"-relu", nn.G'),
        (TASKS, "ncars_temporal", "tasks/events/base.py", "EventFrames(16)", "EventFrames(8)"),
        (TASKS, "shapenet_parts_lamp", "tasks/points/shapenet.py", "={_category: range", "={'': range"),
    ],
)  # fmt: skip
def test_what_a_variant_is_made_with_is_reached(
    tree: Path, registry: Registry[type], name: str, file: str, old: str, new: str
) -> None:
    before = Sources(tree).of(registry[name])
    edit(tree / file, old, new)
    after = Sources(tree).of(registry[name])
    assert [module for module in after if before[module] != after[module]] == [
        file.removesuffix(".py").replace("/", ".")
    ]


def test_code_that_is_in_no_file_is_refused() -> None:
    names: dict[str, type] = {}
    exec("class Typed:\n    pass", {"__name__": "nowhere"}, names)
    with pytest.raises(InvalidInput, match=r"The source of nowhere\.Typed cannot be found"):
        Sources().of(names["Typed"])


def test_a_method_whose_stages_fail_has_a_fingerprint_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def stages(self: object) -> None:
        raise RuntimeError("it broke")

    cell = Cell(task="digits", network="digits_convnet", method="burst", options={"phi": 2}, T=2, seed=0, calibration=8)
    BENCH.source = Sources()
    code, _, settings = BENCH.fingerprint(cell)["method"].partition("-")
    assert settings
    monkeypatch.setattr(METHODS["burst"], "stages", stages)
    BENCH.source = Sources()  # Of one state of the code a method has one fingerprint.
    assert BENCH.fingerprint(cell)["method"] == code == combined(BENCH.source.of(METHODS["burst"]))


def test_code_is_digested_as_it_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process that is forked after an edit runs what was imported before it.
    file = ROOT / "conversion/stages/ssc.py"
    before = Sources().of(all_stages.SSC)
    monkeypatch.setitem(IMPORTED, file, IMPORTED[file] + "\n\nUNUSED = 1\n")
    assert Sources().of(all_stages.SSC) == before
    monkeypatch.setitem(IMPORTED, file, IMPORTED[file].replace("1 + 0.5 * index", "1 + 0.25 * index"))
    assert Sources().of(all_stages.SSC) != before


@pytest.mark.slow
def test_what_stages_are_set_to_counts_wherever_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Workbench(None, None, "cpu", "float32")
    cell = next(cell for cell in load_suite("smoke").cells() if cell.method == "burst")
    before = bench.fingerprint(cell)["method"]
    first, *others = cell.recipe.stages()
    assert isinstance(first, all_stages.Thresholds)
    other = (replace(first, phi=7), *others)
    monkeypatch.setattr(type(cell.recipe), "stages", lambda self: other)
    bench.source = Sources()
    assert bench.fingerprint(cell)["method"] != before
