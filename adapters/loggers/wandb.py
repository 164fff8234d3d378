"""Weights & Biases: a run of a project for each run, kept on this machine unless the user says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from adapters.loggers.base import LOGGERS, Logger, Setting, absent

PROJECT = "adaptive-calibration-bench"


@LOGGERS.register("wandb")
class WeightsAndBiases(Logger):
    """Writes to a project, below `WANDB_DIR` or the current folder.

    Runs are offline, for `wandb sync` to upload, unless `WANDB_MODE` says otherwise.
    """

    def __init__(self, where: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # It would be sent over the network.
        try:
            import wandb
        except ImportError as error:
            raise absent(self.name, "wandb") from error
        self._wandb: Any = wandb
        self._project = where or PROJECT
        self._run: Any = None

    def begin(self, run: str, settings: Mapping[str, Setting]) -> None:
        self._run = self._wandb.init(
            project=self._project, name=run, config=dict(settings), mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="finish_previous",
            # Neither code nor output nor figures of the machine: the record says what measured it.
            settings=self._wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
        )  # fmt: skip

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self, row: Mapping[str, float] | None) -> None:
        if row:
            self._run.summary.update(dict(row))
        self._run.finish(exit_code=1 if row is None else 0)
