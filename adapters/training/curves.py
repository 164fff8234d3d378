"""Curves of a training run for TensorBoard: a value of each kind for every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from conversion.errors import InvalidInput


class Curves:
    """Context manager around the epochs of one run.

    Args:
        folder: the run's own folder below the one that TensorBoard shows; None writes nothing.

    Raises:
        InvalidInput: tensorboard is not installed, or the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._writer: Any = None
        if folder is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InvalidInput(
                    "--tensorboard needs tensorboard, which is not installed: pip install -e '.[tensorboard]'."
                ) from error
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InvalidInput(f"The folder {folder} for TensorBoard cannot be made: {error.strerror}.") from error
            self._new_writer = SummaryWriter

    def add(self, epoch: int, values: Mapping[str, float | None]) -> None:
        """Writes the values of an epoch, counted from 1; those that are None were not measured."""
        if self.folder is None:
            return
        if self._writer is None:
            # What an interrupted run wrote of this epoch and later ones is hidden.
            self._writer = self._new_writer(self.folder, purge_step=epoch)
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
