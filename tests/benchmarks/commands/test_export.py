"""`export` writes files that other tools read, and says what it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands.export import export
from benchmarks.execution.workbench import Workbench
from conversion import convert, save
from conversion.errors import BenchmarkError
from conversion.exchange import import_nir

pytest.importorskip("nir", reason="NIR needs the extra 'nir': pip install -e '.[nir]'")
pytest.importorskip("onnxruntime", reason="ONNX needs the extra 'onnx': pip install -e '.[onnx]'")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(None, None, "cpu", "float32")


def exported(bench: Workbench, output: Path, format: Any = "nir", **options: Any) -> None:
    defaults: dict[str, Any] = {
        "task": "digits", "network": "digits_convnet", "method": None, "T": 4, "converted": None, "seed": 0,
        "calibration": 32, "samples": 8,
    }  # fmt: skip
    export(format, output, bench, **(defaults | options))


@pytest.mark.slow
def test_nir_goes_out_with_its_trace_and_is_read_again(
    bench: Workbench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(bench, tmp_path / "net.nir")
    said = capsys.readouterr().out
    assert "net.trace.nir" in said and "8 samples over 4 steps" in said and " 0 of them other" in said
    assert "On Speck" in said or "Speck has" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.nir", "net.trace.nir"]
    assert import_nir(tmp_path / "net.nir").network.T == 4


@pytest.mark.slow
def test_onnx_goes_out_and_is_compared_with_onnxruntime(
    bench: Workbench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(bench, tmp_path / "twin.onnx", "onnx", method="quantised_ann:phi=2", samples=60)
    said = capsys.readouterr().out
    assert "60 samples: " in said and " 0 that differ otherwise" in said
    assert [path.name for path in tmp_path.iterdir()] == ["twin.onnx"]


@pytest.mark.slow
def test_a_converted_network_goes_out_as_it_was_saved(
    bench: Workbench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = bench.network("digits", "digits_convnet")
    images = prepared.adapter.encode(prepared.task.calibration(16, 0))
    save(convert(prepared.graph, images, "calibration", T=3), tmp_path / "kept")
    exported(bench, tmp_path / "net.nir", T=None, converted=tmp_path / "kept")
    assert "over 3 steps" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "burst:phi=4"}, r"bursts of up to 4 spikes.*calibration, or burst:phi=1,start=shift"),
        ({"T": None}, "Give --T"),
        ({"converted": Path("kept")}, "Give --T"),
        ({"T": None, "converted": Path("kept"), "method": "burst"}, "leave --method out"),
        ({"format": "onnx", "method": "calibration"}, "spikes for 4 steps.*quantised_ann"),
    ],
)
def test_what_cannot_go_out_is_one_sentence_and_no_file(
    bench: Workbench, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BenchmarkError, match=message):
        exported(bench, tmp_path / "net", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(bench: Workbench, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"There is no folder .*gone for --output"):
        exported(bench, tmp_path / "gone" / "net.nir")
