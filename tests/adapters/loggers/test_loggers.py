"""Loggers: what each writes is read back by its own reader; packages that are absent, and loggers that fail later."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.loggers import LOGGERS, Log, Logger, without_passwords
from conversion.errors import InvalidInput, UnknownName


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the logger "recorder" is told; it is registered as one of a plug-in is."""
    told: list[Any] = []
    monkeypatch.setattr(LOGGERS, "_entries", dict(LOGGERS._entries))

    @LOGGERS.register("recorder")
    class Recorder(Logger):
        """Keeps what it is told; breaks at a step of its own."""

        def __init__(self, where: str) -> None:
            self.breaks = int(where or -1)

        def begin(self, run: str, settings: Mapping[str, Any]) -> None:
            told.append((run, dict(settings)))

        def add(self, step: int, values: Mapping[str, float]) -> None:
            if step == self.breaks:
                raise OSError("the server is gone\nand more")
            told.append((step, dict(values)))

        def finish(self, row: Mapping[str, float] | None) -> None:
            told.append(None if row is None else dict(row))

    return told


def write(log: Log) -> None:
    """Two runs: one that ends, one that is interrupted in its second step."""
    with log.run("first", {"T": 4, "sides": [1, 2], "method": "burst"}) as row:
        log.add(1, {"loss": 2.0, "score": None})
        log.add(2, {"loss": 1.5, "score": 80.0})
        row["score"] = 80.0
    with pytest.raises(KeyboardInterrupt), log.run("second/part", {"T": 8}):
        log.add(3, {"loss": 1.25})
        raise KeyboardInterrupt


def test_a_logger_is_told_settings_steps_and_the_end(recorder: list[Any]) -> None:
    write(Log(["recorder"]))
    assert recorder == [
        ("first", {"T": 4, "sides": "[1, 2]", "method": "burst"}), (1, {"loss": 2.0}),
        (2, {"loss": 1.5, "score": 80.0}), {"score": 80.0}, ("second/part", {"T": 8}), (3, {"loss": 1.25}), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mlflow:https://me:se%2Fcret@host:1/a", "mlflow:https://host:1/a"),
        ("postgresql://me:p@ss@host/db and http://key@other", "postgresql://host/db and http://other"),
        ("https://host/path@2?mail=a@b", "https://host/path@2?mail=a@b"),
        ("wandb:team@home", "wandb:team@home"),
    ],
)
def test_passwords_of_addresses_are_left_out(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_an_error_does_not_tell_the_password_of_an_address(
    recorder: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError("API request to http://me:secret@host/api failed")

    monkeypatch.setattr(LOGGERS["recorder"], "begin", refuses)
    with Log(["recorder"]).run("run", {}):
        pass
    assert capsys.readouterr().err.endswith("left out from here on: API request to http://host/api failed\n")


def test_a_logger_that_fails_is_named_and_the_others_go_on(
    recorder: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(["recorder:2", "recorder"])
    with log.run("run", {}) as row:
        log.add(1, {"loss": 2.0})
        log.add(2, {"loss": 1.0})
        row["loss"] = 1.0
    assert recorder == [
        ("run", {}),
        ("run", {}),
        (1, {"loss": 2.0}),
        (1, {"loss": 2.0}),
        (2, {"loss": 1.0}),
        {"loss": 1.0},
    ]
    assert "The logger recorder failed and is left out from here on: the server is gone\n" in capsys.readouterr().err


def test_without_a_logger_nothing_is_written_or_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Log())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("logger", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_a_package_that_is_absent_is_named_with_its_extra(
    logger: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidInput, match=rf"--log {logger} needs .* pip install 'adaptive-.*\[{logger}\]'"):
        Log([f"{logger}:{tmp_path / 'never'}"])
    assert not list(tmp_path.iterdir())


def test_a_logger_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownName, match="did you mean tensorboard"):
        Log(["tensorbord:curves"])


def test_tensorboard_reads_curves_settings_and_results(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="extra tensorboard")
    write(Log([f"tensorboard:{tmp_path}"]))
    found = reader.EventAccumulator(str(tmp_path / "first"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 2.0), (2, 1.5)]
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2").HParamsPluginData
    started = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = plugin.FromString(started).session_start_info.hparams
    assert settings["T"].number_value == 4 and settings["method"].string_value == "burst"
    interrupted = reader.EventAccumulator(str(tmp_path / "second/part"))
    interrupted.Reload()
    assert [(e.step, e.value) for e in interrupted.Scalars("loss")] == [(3, 1.25)]


def test_mlflow_reads_curves_settings_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="extra mlflow: pip install mlflow-skinny")
    monkeypatch.chdir(tmp_path)
    write(Log(["mlflow:store"]))
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    experiment = client.get_experiment_by_name("adaptive-calibration-bench")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    first = runs["first"]
    assert first.data.params == {"T": "4", "sides": "[1, 2]", "method": "burst"}
    history = client.get_metric_history(first.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.5)]
    assert first.data.metrics["score"] == 80.0
    assert (first.info.status, runs["second/part"].info.status) == ("FINISHED", "KILLED")


def test_mlflow_that_cannot_write_is_refused_before_any_work(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="extra mlflow: pip install mlflow-skinny")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="MLflow cannot write to file://"):
        Log([f"mlflow:{tmp_path / 'file'}"])


def test_wandb_writes_runs_here_and_sends_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="extra wandb: pip install wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    write(Log(["wandb:bench"]))
    paths = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    runs = {}
    for records in map(stored, paths):
        (run,) = [record.run for record in records if record.HasField("run")]
        steps = [record.history.item for record in records if record.HasField("history")]
        rows = [{".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in step} for step in steps]
        (code,) = [record.exit.exit_code for record in records if record.HasField("exit")]
        settings = {item.key: json.loads(item.value_json) for item in run.config.update if item.key != "_wandb"}
        losses = [(row["_step"], row["loss"]) for row in rows if "loss" in row]
        runs[run.project, run.display_name] = (settings, losses, code)
    assert runs == {
        ("bench", "first"): ({"T": 4, "sides": "[1, 2]", "method": "burst"}, [(1, 2.0), (2, 1.5)], 0),
        ("bench", "second/part"): ({"T": 8}, [(3, 1.25)], 1),
    }


def stored(path: Path) -> list[Any]:
    """The records of an offline run: a log of LevelDB, parts with heads of 7 bytes in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    content, found, parts = path.read_bytes(), [], b""
    place = 7  # After the head of the file.
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # A whole record, or its last part.
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found
