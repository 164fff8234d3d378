"""Devices by name."""

from __future__ import annotations

import torch

from conversion.errors import InvalidInput


def resolve_device(name: str) -> torch.device:
    """The device that torch knows by this name; "cuda" is the current one.

    Raises:
        InvalidInput: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts.
        raise InvalidInput(f"The device '{name}' cannot be used here: {str(error).splitlines()[0]}") from error
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device
