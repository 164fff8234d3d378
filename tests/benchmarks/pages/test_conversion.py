"""One conversion from the command line: the released scripts' flags as methods, and the page that comes out."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.execution.workbench import ROOT, Workbench
from benchmarks.pages.conversion import Conversion, layer_table, markdown, measure_conversion
from benchmarks.references.released import (
    Flags,
    chosen_method,
    defaults_of,
    named_method,
    released_method,
    released_network,
)
from benchmarks.suites.cell import Cell
from benchmarks.suites.files import load_suite
from conversion import InvalidInput
from conversion.counting.prices import PRICES
from conversion.errors import UnknownName
from tests.benchmarks.conftest import Cli
from tests.tolerance import points

SEARCH = {"phi": 4, "phi_init": 8, "phi_min": 1, "budget": 1.0, "light": True}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"maxspike": 1}, ("calibration", {"light": True})),
        ({"maxspike": 1, "calib": "none"}, ("calibration", {"light": False})),
        ({"maxspike": 1, "calib": "advanced"}, ("calibration_advanced", {})),
        ({"maxspike": 1, "iat": True}, ("calibration_iat", {"light": True})),
        # The released default is four spikes.
        ({}, ("burst", {"phi": 4, "thresholds": "mse_floor", "start": "shift", "light": True})),
        (
            {"maxspike": 2, "calib": "none"},
            ("burst", {"phi": 2, "thresholds": "mse_floor", "start": "shift", "light": False}),
        ),
        # The README's example, whose target stands twice.
        (
            {
                "maxspike": 4, "search": True, "maxspike_ratio": 1.0, "initialspike": 8, "desired_spike": 4,
                "minspike": 1,
            },
            ("adafire", SEARCH),
        ),
        ({"search": True}, ("adafire", SEARCH)),
        (
            {"search": True, "maxspike": 6, "initialspike": 16, "minspike": 2, "maxspike_ratio": 0.9, "calib": "none"},
            ("adafire", {"phi": 6, "phi_init": 16, "phi_min": 2, "budget": 0.9, "light": False}),
        ),
        ({"search": True, "search_threshold": True}, ("adafire_ssc", SEARCH | {"ssc_budget": 1.0})),
        (
            {"search": True, "search_threshold": True, "threshold_ratio": 1.2, "iat": True},
            ("adafire_ssc_iat", SEARCH | {"ssc_budget": 1.2}),
        ),
        ({"search": True, "iat": True}, ("adafire_iat", SEARCH)),
        # Without a search there is one phi to choose from.
        (
            {"maxspike": 3, "search_threshold": True},
            ("adafire_ssc", {"phi": 3, "phi_init": 3, "phi_min": 3, "budget": 1.0, "light": True, "ssc_budget": 1.0}),
        ),
        (
            {"maxspike": 3, "iat": True},
            ("adafire_iat", {"phi": 3, "phi_init": 3, "phi_min": 3, "budget": 1.0, "light": True}),
        ),
    ],
)  # fmt: skip
def test_the_released_flags_name_a_method(flags: dict[str, Any], expected: tuple[str, dict[str, Any]]) -> None:
    assert released_method(Flags(**flags)) == expected


@pytest.mark.parametrize(
    ("dataset", "flags", "expected"),
    [
        # One spike for event cameras; a search there aims at the energy of 2, the smallest it may choose.
        ("cifar10dvs", {}, ("calibration", {"light": True})),
        ("ncars_temporal", {"search": True}, ("adafire", SEARCH | {"phi": 2, "phi_min": 2})),
        ("action_recognition", {"search": True, "minspike": 1}, ("adafire", SEARCH | {"phi": 1})),
        (
            "ncaltech101", {"search": True, "search_threshold": True, "maxspike": 4, "minspike": 1},
            ("adafire_ssc", SEARCH | {"ssc_budget": 1.0}),
        ),
        ("bccd", {"search": True}, ("adafire", SEARCH | {"phi": 8, "phi_init": 16, "phi_min": 2})),
        ("cifar100", {"search": True}, ("adafire", SEARCH)),
    ],
)  # fmt: skip
def test_what_is_left_out_is_as_released_for_the_dataset(
    dataset: str, flags: dict[str, Any], expected: tuple[str, dict[str, Any]]
) -> None:
    assert released_method(Flags(**flags), defaults_of(dataset)) == expected


def test_networks_of_event_cameras_answer_to_their_released_names() -> None:
    assert released_network("cifar10dvs", "resnet18") == "event_resnet18"
    assert released_network("ncars_temporal", "vgg16") == "event_vgg16"
    assert released_network("ncars", "event_convnet") == "event_convnet"
    assert released_network("cifar10", "resnet18") == "resnet18"
    assert released_network("mini_events", "resnet18") == "event_resnet18"


def test_networks_that_do_not_fit_are_refused_before_anything_is_loaded_d4() -> None:
    with pytest.raises(UnknownName, match="no network called 'res20'; did you mean resnet20"):
        released_network("cifar10", "res20")
    with pytest.raises(InvalidInput, match="resnet20 does not fit task mini_events: it is for image classification"):
        released_network("mini_events", "resnet20")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"initialspike": 8}, "--initialspike does nothing without --search; add that flag or drop this one."),
        ({"minspike": 2}, "--minspike does nothing without --search;"),
        ({"desired_spike": 4}, "--desired_spike does nothing without --search;"),
        ({"maxspike_ratio": 1.0}, "--maxspike_ratio does nothing without --search;"),
        ({"search": True, "threshold_ratio": 1.0}, "--threshold_ratio does nothing without --search_threshold;"),
        ({"search": True, "maxspike": 4, "desired_spike": 3}, "--desired_spike is 3 and --maxspike 4"),
        ({"search": True, "maxspike": 9}, "between --minspike 1 and --initialspike 8, but .* --maxspike 9"),
        ({"search": True, "maxspike": 2, "minspike": 3}, "between --minspike 3 and --initialspike 8"),
        ({"calib": "advanced"}, "no method for --calib advanced with bursts"),
        ({"calib": "advanced", "search": True, "maxspike": 1}, "no method for --calib advanced"),
        ({"calib": "advanced", "maxspike": 1, "iat": True}, "no method for --calib advanced"),
    ],
)
def test_flags_that_mean_nothing_together_are_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        released_method(Flags(**flags))


def test_a_method_can_be_named_in_place_of_the_flags() -> None:
    assert chosen_method(Flags(), "calibration") == ("calibration", {})
    name, options = named_method("burst:phi=4,light=False")
    cell = Cell(task="digits", network="digits_convnet", method=name, options=options, T=2, seed=0, calibration=64)
    assert cell.recipe.label == "burst:phi=4,light=False"
    assert cell.options == {"phi": 4, "light": False}
    with pytest.raises(InvalidInput, match=r"--method takes the place of --maxspike, --iat; give one or the other\."):
        chosen_method(Flags(maxspike=1, iat=True), "calibration")
    with pytest.raises(InvalidInput, match="cannot be read; write it as"):
        named_method("burst:phi")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(None, None, "cpu", "float32")


SMOKE = load_suite("smoke").cells()
# calibration at T = 4 on 200 images, as `run --suite smoke` measures it.
CELL = next(cell for cell in SMOKE if cell.method == "calibration" and cell.T == 4)
ANN = next(cell for cell in SMOKE if cell.method == "ann")


@pytest.fixture(scope="module")
def found(bench: Workbench) -> Conversion:
    return measure_conversion(CELL, bench, lambda samples: None)


@pytest.mark.slow
def test_the_records_are_those_of_run(bench: Workbench, found: Conversion) -> None:
    timings = {"convert_s", "evaluate_s"}
    for cell, record in ((CELL, found.record), (ANN, found.ann)):
        assert record.model_dump(exclude=timings) == bench.measure(cell, lambda _: None).record.model_dump(
            exclude=timings
        )


@pytest.mark.slow
def test_the_report_agrees_with_the_record(found: Conversion) -> None:
    assert [layer.neurons for layer in found.record.report] == [layer.neurons for layer in found.record.layers]
    for layer, counts in zip(found.record.report, found.record.layers, strict=True):
        assert layer.rate is not None
        # Calibration images and test images are drawn from the same digits.
        assert layer.rate == pytest.approx(counts.spikes / counts.neurons / 4, rel=0.1)


def test_the_page_says_what_was_measured(found: Conversion) -> None:
    page = markdown(found, "released")
    value, reference = found.record.metrics["accuracy"], found.ann.metrics["accuracy"]
    assert f"accuracy {value.value:.2f} [{value.ci_low:.2f}, {value.ci_high:.2f}] on 200 samples" in page
    assert f"ANN: accuracy {reference.value:.2f} [" in page
    totals, ann = found.record.totals, found.ann.totals
    assert totals is not None and ann is not None
    # Analog multiplications at every step, and one addition for each synaptic operation.
    energy = 4.6 * totals.macs_once * 4 + 0.9 * totals.synops_unary
    assert PRICES["released"].analog_every_step
    assert f"energy {100 * energy / (4.6 * ann.macs_once):.1f} / " in page
    assert found.worst in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(found.record.report) == 5
    assert {line.count("|") for line in layer_table(found.record.report)} == {12}
    shown = re.findall(r"([\d.]+) \(([+-][\d.]+)\)", rows[1])
    errors = found.record.report[1].errors
    assert errors is not None
    assert shown[1] == (f"{100 * errors.clipping.rms:.1f}", f"{100 * errors.clipping.mean:+.1f}")
    assert shown[4] == (f"{100 * errors.total.rms:.1f}", f"{100 * errors.total.mean:+.1f}")


def test_the_documented_example_is_what_the_command_prints(found: Conversion) -> None:
    text = (ROOT / "docs/report.md").read_text()
    assert "--dataset digits --arch digits_convnet --T 4 --maxspike 1\n--limit 200 --calibration 64" in text
    (example,) = re.findall(r"```\n(.*?)\n```", text, flags=re.DOTALL)
    number = r"[+-]?\d+\.\d+"
    page = markdown(found, "horowitz45").strip()
    assert re.sub(number, "x", example) == re.sub(number, "x", page)
    # One decimal is shown; the share of single spikes in a layer is far below a hundredth.
    shown, measured = ([float(value) for value in re.findall(number, side)] for side in (example, page))
    assert shown == pytest.approx(measured, rel=0.01, abs=points(200) + 0.1)


@pytest.fixture
def convert_(cli: Cli) -> Cli:
    """`convert` on the command line."""
    return partial(cli, "convert")


DIGITS = ("--dataset", "digits", "--arch", "digits_convnet", "--T", "4", "--limit", "200", "--calibration", "64",
          "--precision", "float32")  # fmt: skip


@pytest.mark.slow
def test_the_command_prints_the_page_and_writes_the_records(tmp_path: Path, convert_: Cli, found: Conversion) -> None:
    code, out, err = convert_(*DIGITS, "--calib", "light", "--maxspike", "1", "--output", "found.json")
    assert code == 0, err
    assert out.strip() == markdown(found, "horowitz45").strip()
    content = json.loads((tmp_path / "found.json").read_text())
    written = Conversion.model_validate(content)
    assert written.record.report == found.record.report
    assert written.record.totals == found.record.totals
    assert content["worst"] == found.worst


@pytest.mark.slow
def test_the_command_says_what_auto_tried_and_took(convert_: Cli) -> None:
    code, out, err = convert_(*DIGITS, "--method", "auto:codes=rate")
    assert code == 0 and out.startswith("# digits digits_convnet auto:codes=rate")
    lines = err.splitlines()
    tried = [
        line for line in lines if re.match(r"burst:phi=\S+: error \d\.\d{3} at [\d.]+ % of the ANN's energy$", line)
    ]
    chosen = [line.removeprefix("chosen: ") for line in lines if line.startswith("chosen: ")]
    assert len(tried) >= 4 and len(chosen) == 1
    assert any(line.startswith(f"{chosen[0]} errs by") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*DIGITS, "--maxspike_ratio", "0.9"), "--maxspike_ratio does nothing without --search"),
        ((*DIGITS, "--maxspike-ratio", "0.9"), "--maxspike_ratio does nothing without --search"),
        ((*DIGITS, "--method", "brust:phi=4"), "There is no method called 'brust'; did you mean burst or robustnorm?"),
        ((*DIGITS, "--method", "burst:phi=0"), "'phi' = '0'"),
        ((*DIGITS, "--maxspike", "0"), "--maxspike"),
        ((*DIGITS, "--method", "calibration", "--output", "no/found.json"), "There is no folder no for --output"),
        ((*DIGITS, "--method", "calibration", "--dataset", "digts"), "There is no task called 'digts'"),
        ((*DIGITS, "--method", "calibration", "--arch", "resnet20"), "resnet20 does not fit task digits"),
    ],
)
def test_what_cannot_be_converted_is_a_usage_error(convert_: Cli, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = convert_(*arguments)
    assert (code, out) == (2, "")
    assert words in err
