"""The user's defaults: command line, then environment, then the configuration file, then the command's own."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import run_all
from benchmarks.choices import WEIGHTS
from benchmarks.commands import options as opt
from benchmarks.commands.config import config_file, user_defaults

GROUP = cast(TyperGroup, typer.main.get_command(run_all.app))


def written(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    monkeypatch.setenv("ACB_CONFIG", str(path))
    return path


def defaults() -> dict[str, dict[str, object]]:
    return user_defaults(GROUP)


def test_every_command_takes_the_options_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(monkeypatch, tmp_path, 'data-root = "/data"\nworkers = 3\n')
    found = defaults()
    assert found["run"] == {"data_root": "/data", "workers": 3}
    assert found["doctor"] == {"data_root": "/data"}
    assert found["schema"] == {}


def test_the_file_lies_in_the_configuration_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACB_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() == tmp_path / "adaptive-calibration-bench" / "config.toml"
    assert defaults() == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('data_root = "/data"', "names 'data_root', which is no option of any command"),
        ("data-root = /data", "cannot be read"),
    ],
)
def test_a_file_that_says_nothing_useful_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    written(monkeypatch, tmp_path, text)
    with pytest.raises(typer.BadParameter, match=reason):
        defaults()


def test_a_named_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACB_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(typer.BadParameter, match="There is no file"):
        defaults()


def test_the_nearest_default_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.callback()
    def default(context: typer.Context) -> None:
        context.default_map = user_defaults(cast(TyperGroup, context.command))

    @app.command()
    def show(data_root: opt.Data = None, weights: opt.Weights = WEIGHTS) -> None:
        print(data_root, weights)

    def shown(*arguments: str, **environment: str) -> list[str]:
        return CliRunner().invoke(app, ["show", *arguments], env=environment).stdout.split()

    for name in ("ACB_DATA", "ACB_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    written(monkeypatch, tmp_path, 'data-root = "file"\n')
    assert shown() == ["file", str(WEIGHTS)]
    assert shown(ACB_DATA="environment") == ["environment", str(WEIGHTS)]
    assert shown("--data-root", "line", ACB_DATA="environment", ACB_WEIGHTS="w") == ["line", "w"]
