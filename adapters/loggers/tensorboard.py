"""TensorBoard: a folder for each run, curves as scalars, settings and results in its tab of hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.loggers.base import LOGGERS, Logger, Setting, absent
from conversion.errors import InvalidInput


@LOGGERS.register("tensorboard")
class TensorBoard(Logger):
    """Writes below a folder, `runs/tensorboard` when left out."""

    def __init__(self, where: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise absent(self.name, "tensorboard") from error
        self._new_writer = SummaryWriter
        self._root = Path(where or "runs/tensorboard")
        self._folder = self._root
        self._settings: dict[str, Setting] = {}
        self._writer: Any = None
        self._made(self._root)

    def begin(self, run: str, settings: Mapping[str, Setting]) -> None:
        self._folder, self._settings, self._writer = self._root / run, dict(settings), None
        self._made(self._folder)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is None:
            # What an interrupted run wrote of this step and later ones is hidden.
            self._writer = self._new_writer(str(self._folder), purge_step=step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self, row: Mapping[str, float] | None) -> None:
        if row:
            from torch.utils.tensorboard.summary import hparams

            if self._writer is None:  # A run without steps.
                self._writer = self._new_writer(str(self._folder))
            # In the run's own file; `add_hparams` would write another.
            for summary in hparams(self._settings, dict(row)):
                self._writer.file_writer.add_summary(summary)
            for name, value in row.items():
                self._writer.add_scalar(name, value, 0)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @staticmethod
    def _made(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"The folder {folder} for TensorBoard cannot be made: {error.strerror}.") from error
