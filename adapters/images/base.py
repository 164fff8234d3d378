"""The base of image classifiers: the tasks that they fit, and the normalisation of pixels."""

from __future__ import annotations

from adapters.base import Network
from tasks.base import Task
from tasks.images.base import ImageClassification


class ImageNetwork(Network):
    """A classifier of images, whose pixels are normalised by the statistics of its task."""

    family = ImageClassification
    task: ImageClassification

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.mean, self.std = self.task.mean, self.task.std


class SmallImageNetwork(ImageNetwork):
    """A classifier of 32x32 colour images."""

    shape = (3, 32, 32)
