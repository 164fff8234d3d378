"""The networks, by name in `NETWORKS`, their weights and their training. Importing the package registers them all."""

from adapters.base import NETWORKS, Network
from adapters.device import resolve_device
from adapters.training.loop import train
from adapters.weights import find_weights, load_weights
from conversion.registry import import_modules

__all__ = [
    "NETWORKS",
    "Network",
    "find_weights",
    "load_weights",
    "resolve_device",
    "train",
]

import_modules(__name__, __path__)
