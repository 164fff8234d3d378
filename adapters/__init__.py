"""The networks, by name in `NETWORKS`, their weights and their training. Importing the package registers them all."""

from adapters import cifar_resnet, digits, torchvision_resnet, vgg
from adapters.base import NETWORKS, Network
from adapters.device import resolve_device
from adapters.training import train
from adapters.weights import find_weights, load_weights
from conversion.registry import import_modules

__all__ = [
    "NETWORKS",
    "Network",
    "cifar_resnet",
    "digits",
    "find_weights",
    "load_weights",
    "resolve_device",
    "torchvision_resnet",
    "train",
    "vgg",
]

import_modules(__name__, __path__)
