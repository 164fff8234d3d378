"""How the weights of a convolutional network start out."""

from __future__ import annotations

from torch import nn


def initialise(network: nn.Module) -> None:
    """He et al. ("Delving Deep into Rectifiers", 2015) by fan-out for convolutions; batch norm starts as identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
