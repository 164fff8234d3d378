"""The user's own defaults of options, from a file in the user's configuration folder."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

FILE = Path("adaptive-calibration-bench", "config.toml")


def config_file() -> Path:
    """The file: what ACB_CONFIG names, or `adaptive-calibration-bench/config.toml` in the configuration folder."""
    named = os.environ.get("ACB_CONFIG")
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(named) if named else folder / FILE


def user_defaults(commands: TyperGroup) -> dict[str, dict[str, Any]]:
    """What the file says of each command's options, by the names of its parameters; nothing where there is no file.

    Every command takes those that it has. The command line and environment variables come before the file.

    Raises:
        typer.BadParameter: the file cannot be read, or no command has an option that it names.
    """
    path = config_file()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("ACB_CONFIG"):
            raise typer.BadParameter(f"There is no file {path}, which ACB_CONFIG names.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise typer.BadParameter(f"The user's defaults in {path} cannot be read: {error}.") from None
    found: dict[str, dict[str, Any]] = {}
    unknown = set(given)
    for name, command in commands.commands.items():
        options = {option.removeprefix("--"): each.name for each in command.params for option in each.opts}
        found[name] = {str(options[key]): value for key, value in given.items() if key in options}
        unknown -= set(options)
    if unknown:
        raise typer.BadParameter(
            f"{path} names '{min(unknown)}', which is no option of any command; write options without their dashes, as "
            'in data-root = "/data".'
        )
    return found
