"""Types of target: how their predictions are stored beside a record, imitated and checked by `check`, and drawn.

Every family of tasks has its own (`Task.target`), so that nothing outside of the family asks what its targets are. No
figure of a record depends on it: the metric alone scores predictions.
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
"""Number of test samples whose predictions are stored and drawn one by one."""

Mistakes = Literal["none", "some", "all"]
"""Which imitated predictions are wrong. For "some", a sample decides alone, whatever batch it is in."""


@dataclass(frozen=True)
class Run:
    """The predictions of one row of a results table for the test split.

    Attributes:
        label: the method and its options, "burst:phi=4".
        title: task, method and T.
        table: the columns of the table of samples: `outcome`, and those of `Target.columns`.
    """

    label: str
    title: str
    table: Mapping[str, NDArray[Any]]


class Target(ABC):
    """One type of target. It holds no data; batches of targets are those of `Batch`, predictions those of `decode`."""

    kept: ClassVar[tuple[str, ...]]
    """Names of the columns of the table of samples that `columns` fills and `pictures` needs."""

    @abstractmethod
    def columns(self, predictions: Any, targets: Any, seen: int) -> dict[str, NDArray[Any]]:
        """The stored predictions of a batch: for each name in `kept` one value, or None, for each sample.

        Args:
            seen: number of samples of the test split before this batch.
        """

    def recomputed(self, samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Metrics that follow from the table of samples alone, by name, in their own unit.

        Args:
            samples: the columns of the table; `outcome` is one of them.
        """
        return {}

    def in_order(self, samples: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the table of samples can be in the order of the test split, as far as it shows."""
        return True

    @abstractmethod
    def pictures(
        self, runs: Sequence[Run], classes: Sequence[str], first: Callable[[], tuple[Tensor, Any]]
    ) -> Iterator[tuple[str, Figure]]:
        """Figures of the predictions of some runs, each with its name.

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
            classes: number of classes of the task.
            split: name of the split of the batch, for the sentence.
        """

    @abstractmethod
    def imitate(self, targets: Any, classes: int, mistakes: Mistakes) -> Any:
        """Predictions to try a metric with: the right ones, or some with mistakes that lower a sample's score."""

    @abstractmethod
    def output_fault(
        self, output: Any, decode: Callable[[Any], Any], shape: tuple[int, ...], classes: int
    ) -> str | None:
        """A sentence about what is wrong with a network's output, or with what it decodes to; None when nothing is.

        Args:
            decode: the network's `decode`.
            shape: shape of the inputs, (N, ...).
            classes: number of classes of the task.
        """

    def probe(self, classes: int) -> tuple[Tensor, Tensor] | None:
        """Example scores as a network outputs them, and the classes of the largest; None for other outputs."""
        return None


class DrawnTarget(Target):
    """A target that is drawn on its sample: predictions of the first samples are stored, as bytes.

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

    def in_order(self, samples: Mapping[str, NDArray[Any]]) -> bool:
        """Predictions are kept of the first samples, so that they are in the first rows."""
        if "answer" not in samples:
            return True
        kept = [answer is not None for answer in samples["answer"]]
        return kept == [index < KEPT for index in range(len(kept))]

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
