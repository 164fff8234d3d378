"""Checkpoints that hold a whole network, as ultralytics publishes them, read without executing foreign code.

Such a file names the classes of its objects. Only layers of torch and of ultralytics are allowed, whose construction
has no side effects; a file that names anything else is refused.
"""

from __future__ import annotations

import io
import os
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from conversion.errors import InvalidInput

LAYERS = ("torch.nn.modules.", "ultralytics.nn.")


def read_modules(content: bytes) -> Any:
    """Loads a network and plain values that `torch.save` wrote.

    Raises:
        InvalidInput: the file names something that is no layer.
    """
    named = get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    if any(name.startswith("ultralytics.") for name in named):
        library()  # Before anything of it is imported: it is told there not to report.
    with safe_globals([_layer(name) for name in named]):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def library() -> Any:
    """`ultralytics.nn.tasks`, imported when it is needed: the import takes a second and writes a settings file."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    try:
        from ultralytics.nn import tasks
    except ImportError as error:
        raise InvalidInput(
            "These detectors need ultralytics, which is not installed: pip install -e '.[detection]'."
        ) from error
    return tasks


def _layer(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None) if name.startswith(LAYERS) else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise InvalidInput(f"it names {name}, which is no layer of torch or ultralytics and may do anything.")
    return found
