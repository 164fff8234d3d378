"""What the CIFAR networks share: the tasks they fit and how their pixels are normalised."""

from __future__ import annotations

from adapters.base import Network
from tasks.base import Task

# Mean and standard deviation per channel, as in SNN Calibration's training script.
STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


class CifarNetwork(Network):
    """A network for 32x32 colour images, normalised by the statistics of the dataset it is bound to."""

    tasks = ("cifar10", "cifar100")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.mean, self.std = STATISTICS[task.name]
