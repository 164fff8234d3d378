"""Values and default folders of options, on the command line and from Python.

Help pages and tab completion need them, so this module imports nothing that is slow to load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
TrainingPrecision = Literal["float32", "bfloat16"]
EngineName = Literal["inline", "local", "ray"]
Rerun = Literal["missing", "failed", "stale", "all"]
CalibrationName = Literal["light", "advanced", "none"]
Kind = Literal["method", "task", "network", "code"]
ExportFormat = Literal["nir", "onnx"]
TableFormat = Literal["tex", "csv", "md"]
Listed = Literal["tasks", "networks", "methods", "codes", "suites"]

RESULTS = Path("results")
PUBLISHED = RESULTS / "published"
WEIGHTS = Path("runs/weights")
