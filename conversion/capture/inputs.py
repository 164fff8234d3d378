"""What users hand to `capture`: networks in wrappers, arrays; what it cannot take, it says in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from conversion.arguments import as_tensor, named
from conversion.errors import InvalidInput

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrapped(model: Any) -> nn.Module:
    """The network itself, out of wrappers that say how it is run: parallel, compiled, averaged.

    Raises:
        InvalidInput: it is no network, or a scripted one.
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, WRAPPERS):
            inner = model.module
        if not isinstance(inner, nn.Module):
            break
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise InvalidInput("The network is a TorchScript module, which cannot be captured; pass the network it is of.")
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"The network is a {named(model)}; pass a torch.nn.Module in inference mode.")
    return model


def example_tensor(example: Any) -> Tensor:
    """An example batch as a tensor.

    Raises:
        InvalidInput: it is no batch of one input, is empty, or not finite.
    """
    if isinstance(example, np.ndarray):
        example = as_tensor(example, "The example input")
    if isinstance(example, (tuple, list, dict)):
        raise InvalidInput(
            f"The example input is a {named(example)} of {len(example)}, but a network is captured with one input "
            "tensor of shape (N, ...). Pass that tensor; a network of several inputs needs a wrapper whose forward "
            "takes one tensor and splits it."
        )
    if example is None:
        raise InvalidInput("A network is captured with an example input; pass a batch of your data, shape (N, ...).")
    if not isinstance(example, Tensor):
        raise InvalidInput(f"The example input is a {named(example)}; pass a tensor of shape (N, ...).")
    if example.dim() == 0 or not example.numel():
        raise InvalidInput(
            f"The example input has shape {tuple(example.shape)}; pass a batch of at least one sample, shape (N, ...)."
        )
    if not bool(torch.isfinite(example).all()):
        raise InvalidInput("The example input holds values that are not finite; pass a sample of your data.")
    return example.detach()
