"""The tasks: data, splits and metrics, by name in `TASKS`. Importing the package registers every task."""

from conversion.registry import import_modules
from tasks.base import TASKS, Task

__all__ = ["TASKS", "Task"]

import_modules(__name__, __path__)
