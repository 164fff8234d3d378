"""`dataset`: the folder of a Hugging Face dataset, read back; what is uploaded, and that nothing is without --push."""

from __future__ import annotations

import builtins
import gzip
import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

PUBLISHED = Path(__file__).parents[3] / "results/published"
Cli = Callable[..., tuple[int, str, str]]


def front_matter(folder: Path) -> Any:
    head = (folder / "README.md").read_text().split("---\n")
    assert head[0] == ""
    return yaml.safe_load(head[1])


def test_the_folder_holds_rows_samples_and_a_card(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("dataset", "--suite", "bccd", "--results", str(PUBLISHED), "--to", "hub")
    table = pd.read_csv(PUBLISHED / "bccd/results.csv")
    samples = pq.read_table(PUBLISHED / "bccd/samples.parquet")
    assert code == 0 and out == f"hub: {len(table)} rows, {samples.num_rows:,} samples; load_dataset reads it.\n"
    card = front_matter(tmp_path / "hub")
    assert card["license"] == "apache-2.0" and card["size_categories"] == ["1K<n<10K"]
    assert [each["config_name"] for each in card["configs"]] == ["rows", "samples"]
    rows = pq.read_table(tmp_path / "hub" / card["configs"][0]["data_files"]).to_pandas()
    assert rows.columns.tolist() == table.columns.tolist() and rows["cell"].tolist() == table["cell"].tolist()
    for name in ("value", "ci_low", "energy_unary_mJ", "energy_ann_mJ", "T"):
        assert np.allclose(rows[name].astype(float), table[name].astype(float), rtol=1e-5, equal_nan=True), name
    found = pq.read_table(tmp_path / "hub" / card["configs"][1]["data_files"])
    assert str(found.schema.field("cell").type) == "string"
    assert found.drop_columns("cell").equals(samples.drop_columns("cell"))
    assert found["cell"].to_pylist() == samples["cell"].to_pylist()
    # Records and manifest are the published ones.
    lines = gzip.decompress((tmp_path / "hub/records.jsonl.gz").read_bytes()).splitlines()
    assert {json.loads(line)["cell"]["task"] for line in lines} == {"bccd"}
    assert (tmp_path / "hub/suite.json").read_bytes() == (PUBLISHED / "bccd/suite.json").read_bytes()
    text = (tmp_path / "hub/README.md").read_text()
    assert "licence: MIT" in text and str(tmp_path) not in text


def test_a_suite_without_samples_has_rows_alone_and_the_same_files_each_time(cli: Cli, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert cli("dataset", "--suite", "cifar10", "--results", str(PUBLISHED), "--to", folder)[0] == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(files) == {"README.md", "rows.parquet", "records.jsonl.gz", "suite.json"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert [each["config_name"] for each in front_matter(tmp_path / "one")["configs"]] == ["rows"]


def test_datasets_loads_the_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="pip install datasets")
    cli("dataset", "--suite", "qcfs", "--results", str(PUBLISHED), "--to", "hub")
    table = pd.read_csv(PUBLISHED / "qcfs/results.csv")
    loaded = {
        name: datasets.load_dataset("hub", name, cache_dir=str(tmp_path / "cache"))["train"]
        for name in ("rows", "samples")
    }
    assert loaded["rows"]["value"][:] == pytest.approx(table["value"].tolist(), rel=1e-5)
    assert loaded["samples"].num_rows == pq.read_metadata(PUBLISHED / "qcfs/samples.parquet").num_rows


def test_nothing_is_sent_without_push(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        assert not name.startswith("huggingface_hub")
        return honest(name, *rest)

    def connected(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr(socket.socket, "connect", connected)
    assert cli("dataset", "--suite", "cifar10", "--results", str(PUBLISHED), "--to", "hub")[0] == 0


def test_push_uploads_the_files_that_were_written_and_no_others(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="extra hubs")
    sent: list[dict[str, Any]] = []

    def upload_folder(**options: Any) -> str:
        sent.append(options)
        return "https://huggingface.co/datasets/owner/name/commit/1"

    monkeypatch.setattr(hub, "upload_folder", upload_folder)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/diary.txt").write_text("mine")
    code, out, _ = cli(
        "dataset", "--suite", "cifar10", "--results", str(PUBLISHED), "--to", "hub", "--push", "owner/name"
    )  # fmt: skip
    assert code == 0 and out.endswith("https://huggingface.co/datasets/owner/name/commit/1\n")
    (options,) = sent
    assert (options["repo_id"], options["repo_type"], options["folder_path"]) == ("owner/name", "dataset", "hub")
    assert sorted(options["allow_patterns"]) == ["README.md", "records.jsonl.gz", "rows.parquet", "suite.json"]


def test_a_hub_that_refuses_or_is_absent_is_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="extra hubs")

    def upload_folder(**_: Any) -> str:
        raise ValueError("404 Client Error.\nRepository Not Found")

    monkeypatch.setattr(hub, "upload_folder", upload_folder)
    call = ("dataset", "--suite", "cifar10", "--results", str(PUBLISHED), "--to", "hub", "--push", "owner/name")
    code, _, err = cli(*call)
    assert code == 2 and "hub is written and was not uploaded to owner/name: 404 Client Error. Repository Not" in err
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, err = cli(*call)
    assert code == 2 and "--push needs huggingface_hub" in err and "[hubs]" in err


@pytest.mark.parametrize("name", ["README.md", "suite.json", "samples.parquet"])
def test_files_of_others_are_not_overwritten(name: str, cli: Cli, tmp_path: Path) -> None:
    call = ("dataset", "--suite", "qcfs", "--results", str(PUBLISHED), "--to", "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    code, _, err = cli(*call)
    assert code == 2 and f"mine holds {name}, and no dataset of suite qcfs" in err and "folder of its own" in err
    assert {path.name: path.read_text() for path in (tmp_path / "mine").iterdir()} == {name: "mine"}


def test_a_folder_takes_the_same_suite_again_and_no_other(cli: Cli, tmp_path: Path) -> None:
    call = ("dataset", "--results", str(PUBLISHED), "--to", "hub", "--suite")
    assert cli(*call, "cifar10")[0] == 0
    (tmp_path / "hub/rows.parquet").write_text("damaged")
    assert cli(*call, "cifar10")[0] == 0 and pq.read_table(tmp_path / "hub/rows.parquet").num_rows
    code, _, err = cli(*call, "qcfs")
    assert code == 2 and "no dataset of suite qcfs" in err


def test_the_published_suite_itself_is_not_overwritten(cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED / "qcfs", tmp_path / "own/qcfs")
    before = {path.name: path.read_bytes() for path in (tmp_path / "own/qcfs").iterdir()}
    assert cli("dataset", "--suite", "qcfs", "--results", "own", "--to", "own/qcfs")[0] == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "own/qcfs").iterdir()} == before


def test_a_suite_that_is_not_published_or_was_changed_is_refused(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("dataset", "--suite", "figure8", "--results", str(PUBLISHED), "--to", "hub")
    assert code == 2 and "There is no published suite in" in err and "publish it first" in err
    shutil.copytree(PUBLISHED / "cifar10", tmp_path / "changed/cifar10")
    path = tmp_path / "changed/cifar10/results.csv"
    path.write_text(path.read_text().replace("cifar10", "cifar11"))
    code, _, err = cli("dataset", "--suite", "cifar10", "--results", "changed", "--to", "hub")
    assert code == 2 and "results.csv" in err
    assert not (tmp_path / "hub").exists()


@pytest.mark.slow
def test_names_with_html_are_escaped_in_the_card(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: '<script>alert(1)</script>: | ---'\nnote: '<img src=x onerror=alert(1)>'\ncalibration: 16\n"
        "entries:\n  - {tasks: [digits], networks: [digits_convnet], methods: [calibration], T: [1], limit: 20}\n"
    )
    assert cli("run", "--suite", "own.yaml", "--engine", "inline")[0] == 0
    assert cli("publish", "--suite", "own.yaml")[0] == 0
    code, out, _ = cli("dataset", "--suite", "own.yaml", "--results", "results/published", "--to", "hub")
    assert code == 0 and out == "hub: 2 rows, 40 samples; load_dataset reads it.\n"
    text = (tmp_path / "hub/README.md").read_text().split("---\n", 2)[2]
    assert "<script" not in text and "<img" not in text and "&lt;script>" in text
    assert front_matter(tmp_path / "hub")["pretty_name"].startswith("<script>")  # A string of YAML, quoted.
