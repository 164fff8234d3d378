"""One network trained by several processes at once, each on a device of its own; torchrun starts them.

Every batch is shared out among the processes. Gradients are averaged over them by torch's DistributedDataParallel,
weighted so that the average is the gradient of the whole batch where the loss is a mean over samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from adapters.device import resolve_device
from adapters.training.sampling import EpochShuffle, Key
from conversion.errors import InvalidInput

# The others wait while the first process validates.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Replicas:
    """The processes that train one network.

    Attributes:
        device: the device of this process.
        rank: its number, from 0; the first writes files and reports.
        count: number of processes.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def with_shared_statistics(self, model: nn.Module) -> nn.Module:
        """The model with batch norms over the whole batch, which torch has for GPUs alone."""
        shared = self.count > 1 and self.device.type == "cuda"
        return nn.SyncBatchNorm.convert_sync_batchnorm(model) if shared else model

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model to run forward, whose gradients are averaged over the processes."""
        return DistributedDataParallel(model) if self.count > 1 else model

    def weighted(self, loss: Tensor, own: int, whole: int) -> Tensor:
        """The loss of `own` samples of a batch of `whole`, so that the average over processes is that of the batch."""
        return loss * (own * self.count / whole) if self.count > 1 else loss

    def total(self, values: Tensor) -> Tensor:
        """The sum of tensors over the processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def told(self, value: float | None) -> float | None:
        """The first process's value, for all; None of it for none."""
        if self.count == 1:
            return value
        # NaN stands for None; a metric is a number.
        sent = torch.tensor(float("nan") if value is None else value, dtype=torch.float64, device=self.device)
        distributed.broadcast(sent, 0)
        return None if bool(sent.isnan()) else sent.item()

    def wait(self) -> None:
        """Waits for all processes."""
        if self.count > 1:
            distributed.barrier()


class Shares(Sampler[list[Key]]):
    """A process's share of every batch.

    Args:
        order: the samples of an epoch.
        batch_size: size of a batch over all processes.
        replicas: the processes; a last batch with fewer samples than processes is left out.
    """

    def __init__(self, order: EpochShuffle, batch_size: int, replicas: Replicas) -> None:
        self.order, self.batch_size, self.replicas = order, batch_size, replicas
        whole, rest = divmod(len(order), batch_size)
        self.sizes = [batch_size] * whole + [rest] * (rest >= replicas.count and rest > 0)
        """Samples of each batch, over all processes."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[Key]]:
        order = iter(self.order)
        for size in self.sizes:
            batch = [next(order) for _ in range(size)]
            yield batch[self.replicas.rank :: self.replicas.count]


@contextmanager
def joined(device: str, batch_size: int) -> Iterator[Replicas]:
    """Joins the processes that torchrun has started, until the end of the block; without torchrun there is one.

    Args:
        device: torch's name of the device: "cuda", of which each process takes its own, or "cpu".
        batch_size: size of a batch over all processes.

    Raises:
        InvalidInput: there is no such device, or torchrun's processes are told to use one and the same, or are more
            than a batch has samples.
    """
    if not distributed.is_torchelastic_launched():
        yield Replicas(resolve_device(device))
        return
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device not in ("cpu", "cuda"):
        raise InvalidInput(f"torchrun gives each process a device of its own; pass --device cuda, not {device}.")
    if batch_size < count:
        raise InvalidInput(f"A batch of {batch_size} samples cannot be shared out among {count} processes.")
    place = resolve_device("cpu" if device == "cpu" else f"cuda:{local}")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("gloo" if place.type == "cpu" else "nccl", timeout=PATIENCE)
    try:
        yield Replicas(place, rank, count)
    finally:
        distributed.destroy_process_group()
