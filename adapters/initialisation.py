"""Initial weights of convolutional networks."""

from __future__ import annotations

from torch import nn


def initialise(network: nn.Module) -> None:
    """Draws convolutions by fan-out (He et al., "Delving Deep into Rectifiers", 2015); batch norms are the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
