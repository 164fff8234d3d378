"""Libraries that only an exchange of networks needs, imported when it happens."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from conversion.errors import InvalidInput


def library(name: str, extra: str) -> Any:
    """The module of a library that an extra of this package brings.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"This needs {name}, which is not installed: pip install -e '.[{extra}]'.") from error
