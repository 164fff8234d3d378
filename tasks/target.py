"""Types of target: how predictions of one are kept beside a record, imitated and looked at by `check`, and drawn.

Every family of tasks has its own (`Task.target`), so that nothing outside of the family asks what its targets are. No
figure of a record depends on it: how predictions are scored is the metric's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.drawing import Panel, sheet

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEPT = 4
"""Samples that are drawn one by one, and whose predictions are kept for it."""

Mistakes = Literal["none", "some", "all"]
"""Which predictions are wrong: "some" has to be decided by a sample alone, whatever batch it is in."""


@dataclass(frozen=True)
class Run:
    """What one row of a results table predicted of the test split.

    Attributes:
        label: the method and its options, "burst:phi=4".
        title: says task, method and T.
        table: the columns of the table of samples: `outcome`, and those of `Target.columns`.
    """

    label: str
    title: str
    table: Mapping[str, NDArray[Any]]


class Target(ABC):
    """One type of target. It holds no data; batches of targets are those of `Batch`, predictions those of `decode`."""

    kept: ClassVar[tuple[str, ...]]
    """The columns of the table of samples that `columns` fills and `pictures` needs."""

    @abstractmethod
    def columns(self, predictions: Any, targets: Any, seen: int) -> dict[str, NDArray[Any]]:
        """What is kept of a batch's predictions: for each name in `kept` one value, or None, for each sample.

        Args:
            seen: how many samples of the test split came before this batch.
        """

    @abstractmethod
    def pictures(
        self, runs: Sequence[Run], classes: Sequence[str], first: Callable[[], tuple[Tensor, Any]]
    ) -> Iterator[tuple[str, Figure]]:
        """Names and figures that show what some runs predicted.

        Args:
            runs: at least one.
            classes: the names of the task's classes.
            first: reads the inputs and targets of the first `KEPT` test samples; called only where samples are drawn.
        """

    @abstractmethod
    def fault(self, targets: Any, inputs: Tensor, classes: int, split: str) -> str | None:
        """A sentence about what is wrong with a batch of targets; None when nothing is.

        Args:
            inputs: the samples that the targets belong to.
            classes: how many the task has.
            split: which one the batch is from, for the sentence.
        """

    @abstractmethod
    def imitate(self, targets: Any, classes: int, mistakes: Mistakes) -> Any:
        """Predictions to try a metric with: right ones, or such with mistakes that cost a sample score."""

    @abstractmethod
    def output_fault(
        self, output: Any, decode: Callable[[Any], Any], shape: tuple[int, ...], classes: int
    ) -> str | None:
        """A sentence about what is wrong with a network's output, or with what it decodes to; None when nothing is.

        Args:
            decode: the network's own, of outputs.
            shape: of the inputs, (N, ...).
            classes: how many the task has.
        """

    def probe(self, classes: int) -> tuple[Tensor, Tensor] | None:
        """Scores as a network gives them, and the class indices that they are largest at; None for other outputs."""
        return None


class DrawnTarget(Target):
    """A target that is drawn on its sample: predictions of the first samples are kept, as bytes.

    Subclasses implement `write`, `read`, `draw` and what `Target` asks of them for `check`.
    """

    kept = ("answer",)

    @abstractmethod
    def write(self, prediction: Any) -> bytes:
        """The prediction of one sample, as `read` understands it."""

    @abstractmethod
    def read(self, content: bytes) -> Any:
        """A prediction that `write` wrote."""

    @abstractmethod
    def draw(self, axis: Axes, sample: Tensor, answer: Any, classes: Sequence[str]) -> None:
        """Draws one sample and an answer to it, which is its target or a prediction, into axes without ticks."""

    def columns(self, predictions: Any, targets: Any, seen: int) -> dict[str, NDArray[Any]]:
        answers = np.full(len(predictions), None, dtype=object)
        for index, prediction in enumerate(predictions[: max(0, KEPT - seen)]):
            answers[index] = self.write(prediction)
        return {"answer": answers}

    def pictures(
        self, runs: Sequence[Run], classes: Sequence[str], first: Callable[[], tuple[Tensor, Any]]
    ) -> Iterator[tuple[str, Figure]]:
        """A row of panels for each sample, truth and the runs side by side, and a sheet of all of them."""
        rows = []
        for index, (sample, truth) in enumerate(zip(*first(), strict=True)):
            panels = [Panel("truth", truth)]
            for run in runs:
                title = f"{run.label}: {100 * run.table['outcome'][index]:.0f}"
                panels.append(Panel(title, self.read(run.table["answer"][index])))
            rows.append((sample, panels))
            yield f"sample-{index + 1}", sheet(rows[-1:], classes, self.draw, dpi=110)
        yield "contact", sheet(rows, classes, self.draw, dpi=80)
