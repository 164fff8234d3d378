"""MLflow: a run of an experiment for each run, with its parameters, metrics by step, and results."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.loggers.base import LOGGERS, Logger, Setting, absent, without_passwords
from conversion.errors import InvalidInput

EXPERIMENT = "adaptive-calibration-bench"
LONGEST = 500
"""Letters of a parameter that every store of MLflow takes."""


@LOGGERS.register("mlflow")
class MLflow(Logger):
    """Writes to a tracking address, `MLFLOW_TRACKING_URI` or the folder `mlruns` when left out; a path is a folder."""

    def __init__(self, where: str) -> None:
        # Reports of its use would be sent over the network.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise absent(self.name, "mlflow-skinny or mlflow") from error
        self._metric, self._param = Metric, Param
        address = where or os.environ.get("MLFLOW_TRACKING_URI", "") or "mlruns"
        if "://" not in address and not address.startswith("file:"):
            # Newer versions want to be told that files are meant.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            address = Path(address).absolute().as_uri()
        try:
            self._client: Any = MlflowClient(tracking_uri=address)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = self._client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
        except Exception as error:  # MLflow's own, and those of files, databases and servers.
            said = without_passwords(f"MLflow cannot write to {address}: {error}")
            raise InvalidInput(said) from error
        self._run = ""

    def begin(self, run: str, settings: Mapping[str, Setting]) -> None:
        self._run = self._client.create_run(self._experiment, run_name=run).info.run_id
        params = [self._param(name, str(value)[:LONGEST]) for name, value in settings.items()]
        self._client.log_batch(self._run, params=params)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[self._metric(name, v, now, step) for name, v in values.items()])

    def finish(self, row: Mapping[str, float] | None) -> None:
        if row:
            self.add(0, row)
        self._client.set_terminated(self._run, "KILLED" if row is None else "FINISHED")
