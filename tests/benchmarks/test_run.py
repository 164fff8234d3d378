"""The runner end to end on the embedded data: golden numbers, resume, freshness, failures, the command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.engines import Inline, Local
from benchmarks.engines.runner import run
from benchmarks.execution.plan import cells_to_run, plan
from benchmarks.execution.workbench import ROOT, Workbench
from benchmarks.execution.worker import Job, Settings, workbench
from benchmarks.records.machine import cores
from benchmarks.records.record import Record
from benchmarks.records.store import Store
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from benchmarks.suites.selection import select
from conversion.methods import METHODS
from tasks import TASKS
from tests.tasks.segmentation import drawn
from tests.tolerance import points

pytestmark = pytest.mark.slow

SUITE = load_suite("smoke")


@pytest.fixture(autouse=True, scope="module")
def few_threads() -> None:
    """One, as in every process that works on several at once: with more, sums are rounded otherwise."""
    torch.set_num_threads(1)


def run_inline(cells: Sequence[Cell], store: Store, settings: Settings | None = None) -> list[Record]:
    """Measures cells in this process; their records."""
    jobs = [Job(cell, store.folder.parent, store.folder.name, settings or Settings()) for cell in cells]
    run(jobs, Inline(), store)
    records = [store.load(cell) for cell in cells]
    return [record for record in records if record is not None]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return workbench(Settings())


@pytest.fixture(scope="module")
def finished(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("results"), SUITE.name)
    run_inline(cells_to_run(plan(SUITE.cells(), bench, store), "stale"), store)
    return store


def table(store: Store) -> dict[tuple[str, int | None], float]:
    loaded = {(cell.recipe.label, cell.T): store.load(cell) for cell in SUITE.cells()}
    return {key: record.metrics["accuracy"].value for key, record in loaded.items() if record is not None}


def test_golden_numbers_of_the_shipped_checkpoint(finished: Store) -> None:
    # Measured with `python run_all.py run --suite smoke` on 200 images.
    golden = {
        ("ann", None): 99.5, ("calibration", 2): 92.5, ("calibration", 4): 96.0, ("burst:phi=4", 2): 99.5,
        ("burst:phi=4", 4): 99.5, ("quantised_ann:phi=4", 2): 99.0, ("quantised_ann:phi=4", 4): 99.5,
        ("adafire_ssc:samples=32", 2): 99.0, ("adafire_ssc:samples=32", 4): 99.5, ("calibration_iat", 2): 97.0,
        ("calibration_iat", 4): 99.0, ("held", 3): 99.0, ("phase", 8): 99.5,
    }  # fmt: skip
    assert table(finished) == pytest.approx(golden, abs=points(200))


def test_records_count_per_layer_what_the_totals_say(finished: Store) -> None:
    record = finished.load(SUITE.cells()[4])
    assert record is not None
    assert record.totals is not None
    steps = int(record.totals.steps)
    assert steps == record.totals.steps and list(record.curve) == list(range(1, steps + 1))
    assert record.curve[steps] == record.metrics["accuracy"].value
    for kind in ("spikes", "events", "synops_unary", "synops_binary", "synops_graded"):
        assert sum(getattr(layer, kind) for layer in record.layers) == pytest.approx(getattr(record.totals, kind))
    assert record.totals.synops_unary > record.totals.synops_binary > record.totals.synops_graded > 0
    assert record.totals.neurons == sum(layer.neurons for layer in record.layers)


def test_early_exit_shows_in_the_record(finished: Store) -> None:
    (cell,) = [cell for cell in SUITE.cells() if cell.method == "calibration_iat" and cell.T == 4]
    record = finished.load(cell)
    assert record is not None and record.totals is not None
    assert sum(record.exits) == pytest.approx(1)
    assert record.totals.steps == pytest.approx(sum(t * share for t, share in enumerate(record.exits, 1)))
    assert 1 < record.totals.steps < 4
    assert [layer.phi for layer in record.report] == [1] * len(record.layers)


def test_methods_share_the_stages_they_begin_with_and_are_charged_for_all(bench: Workbench) -> None:
    def cell(**options: object) -> Cell:
        return Cell(task="digits", network="digits_convnet", method="burst", options={"phi": 3, **options}, T=2, seed=0,
                    calibration=64)  # fmt: skip

    placed, corrected, again = (bench.convert(cell(**options)) for options in ({"light": False}, {}, {}))
    assert again == corrected
    assert corrected.seconds > placed.seconds > 0
    thresholds = [
        [float(neuron.threshold.sum()) for neuron in converted.network.neurons.values()]
        for converted in (placed, corrected)
    ]
    assert thresholds[0] == thresholds[1]


def test_a_finished_suite_has_nothing_to_run(bench: Workbench, finished: Store) -> None:
    planned = plan(SUITE.cells(), bench, finished)
    assert {item.state for item in planned} == {"done"}
    assert cells_to_run(planned, "stale") == []
    assert len(cells_to_run(planned, "all")) == len(SUITE.cells())


def test_the_same_cell_twice_gives_the_same_record(bench: Workbench, finished: Store) -> None:
    cell = SUITE.cells()[3]
    measured, before = bench.measure(cell, lambda samples: None), finished.load(cell)
    again = measured.record
    assert before is not None
    samples = finished.samples(before)
    assert samples is not None
    pd.testing.assert_frame_equal(samples, measured.samples)
    timings = {"convert_s", "evaluate_s", "samples", "provenance"}
    assert again.model_dump(exclude=timings) == before.model_dump(exclude=timings)


def test_a_changed_input_makes_a_record_stale_and_is_named(bench: Workbench, finished: Store, tmp_path: Path) -> None:
    store = Store(tmp_path, SUITE.name)
    shutil.copytree(finished.cells, store.cells)
    cell = SUITE.cells()[1]
    record = store.load(cell)
    assert record is not None
    store.save(record.model_copy(update={"fingerprint": record.fingerprint | {"weights": "other"}}))
    stale = [item for item in plan(SUITE.cells(), bench, store) if item.state == "stale"]
    assert [(item.cell, item.reason) for item in stale] == [(cell, "weights")]
    assert cells_to_run(plan(SUITE.cells(), bench, store), "missing") == []


def test_several_workers_give_the_numbers_of_one(finished: Store, tmp_path: Path) -> None:
    """To the last digit where every process has one thread, as this one: with more, sums are rounded otherwise."""
    store = Store(tmp_path, SUITE.name)
    jobs = [Job(cell, tmp_path, SUITE.name, Settings()) for cell in SUITE.cells()]
    run(jobs, Local(max(2, cores()), SUITE.time_limit), store)
    timings = {"convert_s", "evaluate_s", "provenance"}
    for cell in SUITE.cells():
        ours, theirs = store.load(cell), finished.load(cell)
        assert ours is not None and theirs is not None
        # The name of the samples' file is a digest of all of them.
        assert ours.model_dump(exclude=timings) == theirs.model_dump(exclude=timings)


def test_bfloat16_stays_close_to_float32(finished: Store, tmp_path: Path) -> None:
    cells = select(SUITE.cells(), methods=["burst"])
    records = run_inline(cells, Store(tmp_path, SUITE.name), Settings(precision="bfloat16"))
    for record in records:
        reference = finished.load(record.cell)
        assert reference is not None
        assert reference.totals is not None
        assert record.totals is not None
        assert record.fingerprint["precision"] == "bfloat16"
        assert record.metrics["accuracy"].value == pytest.approx(reference.metrics["accuracy"].value, abs=1.01)
        assert record.totals.synops_unary == pytest.approx(reference.totals.synops_unary, rel=0.02)


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(cli: Callable[..., tuple[int, str, str]]) -> Cli:
    """The command line in an empty folder, in this process: importing torch takes longer than most commands."""
    return lambda *arguments: Ended(*cli(*arguments))


def test_the_script_itself_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_all.py"), "run", "--suite", "smoke", "--T", "0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (2, "T is 0, but a simulation has at least 1 step; give T >= 1.")


def test_processes_leave_nothing_behind_that_python_complains_of(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_all.py"), "run", "--suite", "smoke", "--method", "burst", "--T", "2"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "resource_tracker" not in ended.stderr


def test_the_command_line_runs_resumes_and_reports(tmp_path: Path, cli: Cli) -> None:
    first = cli("run", "--suite", "smoke", "--method", "burst", "--results", "out")
    assert first.returncode == 0, first.stderr
    assert "3 cells: 3 new; 3 to run, no timings are stored yet" in first.stderr
    second = cli("run", "--suite", "smoke", "--method", "burst", "--results", "out")
    assert "3 cells: 3 done; 0 to run, nothing to do" in second.stderr
    frame = pd.read_csv(tmp_path / "out/smoke/results.csv")
    assert (frame["status"] == "done").sum() == 3
    (record,) = tmp_path.glob("out/smoke/cells/*burst-T2*/record.json")
    provenance = json.loads(record.read_text())["provenance"]
    assert provenance["command"] == "python run_all.py run --suite smoke --method burst --results out"
    page = (tmp_path / "out/smoke/results.md").read_text()
    board = (tmp_path / "out/leaderboard.md").read_text()
    (tmp_path / "out/smoke/results.md").unlink()
    assert cli("report", "--suite", "smoke", "--results", "out").returncode == 0
    assert (tmp_path / "out/smoke/results.md").read_text() == page
    assert (tmp_path / "out/leaderboard.md").read_text() == board
    assert cli("report", "--suite", "smoke", "--results", "out", "--price-list", "lemaire32k").returncode == 0
    dearer = pd.read_csv(tmp_path / "out/smoke/results.csv")
    assert (dearer["energy_unary_mJ"] > 4 * frame["energy_unary_mJ"]).sum() == 3
    assert (dearer["value"].dropna() == frame["value"].dropna()).all()


def test_a_cell_without_data_is_a_row_with_the_reason_and_the_others_run(tmp_path: Path, cli: Cli) -> None:
    suite = """
    name: own
    title: One task is there, one is not
    calibration: 16
    entries:
      - {tasks: [digits], networks: [digits_convnet], methods: [calibration], T: [2], limit: 20}
      - {tasks: [cifar10], networks: [resnet20], methods: [calibration], T: [2], limit: 20}
    """
    (tmp_path / "own.yaml").write_text(textwrap.dedent(suite))
    planned = cli("plan", "--suite", "own.yaml", "--results", "out")
    assert planned.returncode == 0
    assert "impossible cifar10 resnet20 calibration T=2 first-20: Task cifar10: No data root" in planned.stdout
    assert "4 cells: 2 new, 2 impossible; 2 to run" in planned.stdout
    assert not (tmp_path / "out").exists()
    ran = cli("run", "--suite", "own.yaml", "--results", "out", "--engine", "inline")
    assert ran.returncode == 3
    assert ran.stderr.count("Impossible: Task cifar10: No data root") == 1
    frame = pd.read_csv(tmp_path / "out/own/results.csv")
    states = frame.groupby("task")["status"].unique().map(list).to_dict()
    assert states == {"cifar10": ["impossible"], "digits": ["done"]}
    assert frame.loc[frame["task"] == "cifar10", "reason"].str.startswith("Task cifar10: No data root").all()
    shown = cli("report", "--suite", "own.yaml", "--results", "out", "--task", "digits")
    assert "## digits" in shown.stdout and "cifar10" not in shown.stdout
    page = (tmp_path / "out/own/results.md").read_text()
    assert "- All 2 cells are impossible: Task cifar10: No data root" in page and page.count("No data root") == 1
    told = cli("status", "--suite", "own.yaml", "--results", "out")
    assert "4 cells: 2 done, 0 failed, 2 impossible, 0 missing" in told.stdout and "nothing is running" in told.stdout


def test_a_damaged_record_is_a_failed_row_until_it_is_measured_again(tmp_path: Path, cli: Cli) -> None:
    arguments = ("--suite", "smoke", "--method", "burst", "--T", "2", "--results", "out")
    assert cli("run", *arguments, "--engine", "inline").returncode == 0
    (path,) = tmp_path.glob("out/smoke/cells/*burst*/record.json")
    before = path.read_text()
    path.write_text(before[:200])
    assert "is failed: The record" in cli("report", *arguments).stdout
    again = cli("run", *arguments, "--engine", "inline")
    assert again.returncode == 0
    assert "1 done, 1 failed; 1 to run" in again.stderr
    metrics = [json.loads(text)["metrics"] for text in (before, path.read_text())]
    assert metrics[0] == metrics[1]


def test_train_makes_weights_that_run_uses(tmp_path: Path, cli: Cli) -> None:
    trained = cli("train", "--task", "digits", "--network", "digits_convnet", "--epochs", "1", "--weights", "own")
    assert trained.returncode == 0, trained.stderr
    assert "own/digits_convnet_digits.safetensors" in trained.stdout
    ran = cli("run", "--suite", "smoke", "--method", "ann", "--weights", "own", "--results", "out")
    assert ran.returncode == 0, ran.stderr
    frame = pd.read_csv(tmp_path / "out/smoke/results.csv")
    # One epoch is far from the shipped weights' 99.5.
    assert frame.loc[frame["method"] == "ann", "value"].item() < 99


def test_a_failed_cell_makes_the_run_exit_with_3(tmp_path: Path, cli: Cli) -> None:
    store = Store(tmp_path / "out", SUITE.name)
    bench = Workbench(None, None, "cpu", "float32")
    cell = SUITE.cells()[0]
    record = bench.measure(cell, lambda samples: None).record
    store.save(record.model_copy(update={"status": "failed", "reason": "it broke"}))
    arguments = ("--suite", "smoke", "--method", "ann", "--results", "out")
    ran = cli("run", *arguments, "--rerun", "missing")
    assert ran.returncode == 3
    assert "1 of 1 cells" in ran.stderr
    assert cli("run", *arguments, "--rerun", "failed").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--suite", "smok"), "did you mean smoke"),
        (("run", "--T", "0"), "T is 0"),
        (("run", "--method", "brust"), "Did you mean burst"),
        (("run", "--task", "digts"), "Did you mean digits"),
        (("run", "--sute", "smoke"), "--suite"),
        (("rn",), "Did you mean 'run'"),
        (("run", "--limit", "0"), "--limit"),
        (("report", "--price-list", "horowitz54"), "did you mean horowitz45"),
        (("report", "--suite", "mini"), "no records of suite mini"),
        (("run", "--suite", "cifar10", "--data-root", "."), "Expected layout: cifar-10-batches-py/"),
        (("run", "--device", "tpu"), "The device 'tpu'"),
        (("train", "--task", "digits", "--network", "digits_convnt"), "did you mean digits_convnet"),
        (("train", "--task", "digits", "--network", "digits_convnet", "--epochs", "0"), "epochs of at least 1"),
        (("list", "task"), "tasks"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_writes_nothing(
    tmp_path: Path, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    ran = cli(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_does_not_fit_is_refused_before_any_work(tmp_path: Path, cli: Cli) -> None:
    weights = tmp_path / "digits_convnet_digits.safetensors"
    weights.write_bytes((ROOT / "adapters/checkpoints/digits_convnet_digits.safetensors").read_bytes()[:5000])
    ran = cli("run", "--suite", "smoke", "--weights", ".")
    assert ran.returncode == 2
    assert "damaged" in ran.stderr
    assert list(tmp_path.iterdir()) == [weights]


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "taken").write_text("a file")
    ran = cli("run", "--suite", "smoke", "--results", "taken")
    assert ran.returncode == 2
    assert "Results cannot be written to taken/smoke" in ran.stderr
    assert "[1/7]" not in ran.stderr


def test_lists_and_doctor(cli: Cli) -> None:
    assert cli("list", "methods").stdout.split() == list(METHODS)
    assert "digits" in cli("list", "tasks").stdout.split()
    assert "resnet20" in cli("list", "networks").stdout.split()
    assert "cifar10" in cli("list", "suites").stdout.split()
    checkup = cli("doctor", "--data-root", ".").stdout
    assert "image classification: 1 of 5 ready\n  digits: digits_convnet\n  no data: cifar10, cifar100, " in checkup
    # Nobody trains without data; what each expects is told of one that is asked for.
    assert "train --task" not in checkup and "Expected layout" not in checkup
    asked = cli("doctor", "--data-root", ".", "--task", "digits", "--task", "cifar10").stdout
    assert "task digits: its data are there\n  network digits_convnet: digits_convnet_digits.safetensors\n" in asked
    assert "task cifar10: . holds neither cifar-10-batches-py/ nor cifar10/." in asked
    assert "Expected layout: Prophesee_Dataset_n_cars/" in cli("doctor", "--task", "ncars_temporal").stdout
    of_suite = [line for line in cli("doctor", "--suite", "ncars").stdout.splitlines() if line.startswith("task ")]
    elsewhere = cli("doctor", "--data-root", "no/where").stdout
    assert elsewhere.startswith("There is no folder no/where, so no data but those that the benchmark brings.\n")
    assert len(of_suite) == 2 and all("Expected layout: Prophesee_Dataset_n_cars/" in line for line in of_suite)


def test_the_overview_is_a_screenful_by_family_d9(cli: Cli) -> None:
    """Each family once, each dataset once with its variants; it was 108 lines, one layout of them 17 times."""
    lines = cli("doctor", "--data-root", ".").stdout.splitlines()
    assert len(lines) <= 30
    families = [line for line in lines if re.fullmatch(r"[\w -]+: \d+ of \d+ ready", line)]
    assert len(families) == len({TASKS[name].kind for name in TASKS}) and len(families) > 5
    text = "\n".join(lines)
    assert "  mini_events (and 3 variants): event_convnet" in text and "shapenet_parts (and 16 variants)" in text
    assert all(len(re.findall(rf"\b{name}\b", text)) <= 1 for name in TASKS)


def test_doctor_says_how_to_train_what_has_data_and_no_weights(cli: Cli, tmp_path: Path) -> None:
    drawn.camvid(tmp_path, train=2, validation=1, test=1)
    lines = cli("doctor", "--data-root", str(tmp_path), "--task", "camvi?").stdout.splitlines()
    assert lines[0] == "task camvid: its data are there"
    assert lines[1].startswith("  without weights: ") and "fcn_light" in lines[1]
    # As it stands, it works where this one did.
    assert len(lines) == 3 and "python run_all.py train --task camvid --network" in lines[2]
    assert f" --data-root {tmp_path} --weights " in lines[2]
    family = cli("doctor", "--data-root", str(tmp_path)).stdout.partition("semantic segmentation: ")[2].splitlines()
    assert family[:2] == ["1 of 4 ready", "  camvid: no trained network"]  # The one is drawn here.
    refused = cli("doctor", "--task", "camwid")
    assert (refused.returncode, "There is no task 'camwid'" in refused.stderr) == (2, True)


@pytest.mark.data
def test_cifar10_with_the_published_resnet20_on_200_images(tmp_path: Path, real_data: Path) -> None:
    cells = select(load_suite("cifar10").adjusted(limit=200).cells(), methods=["burst:phi=15"], steps=[1])
    ann, burst = run_inline(cells, Store(tmp_path, "cifar10"), Settings(real_data, real_data))
    assert ann.metrics["accuracy"].value == pytest.approx(92, abs=4)
    assert ann.metrics["accuracy"].value - burst.metrics["accuracy"].value < 6
