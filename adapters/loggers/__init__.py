"""Loggers, by name in `LOGGERS`: where `train` and `run` write curves, settings and results to if they are asked to."""

from adapters.loggers.base import LOGGERS, Log, Logger, without_passwords
from conversion.registry import import_modules

__all__ = ["LOGGERS", "Log", "Logger", "without_passwords"]

import_modules(__name__, __path__)
