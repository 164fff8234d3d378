"""Class indices as targets: one of a sample as a whole, or one for each of its places, pixels or points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.target import DrawnTarget, Mistakes, Run, Target

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.figure import Figure

WRITTEN, NAMED = 12, 100
"""Largest numbers of classes for which a confusion matrix shows its numbers, and all of its classes by name."""


class LabelTarget(Target):
    """Class indices of any shape; networks output scores (N, classes, ...)."""

    def places(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the labels of a sample of shape (C, ...); () where it has one label."""
        return ()

    def imitate(self, targets: Tensor, classes: int, mistakes: Mistakes) -> Tensor:
        """Predicts the next class in place of the first class ("some") or of every class ("all")."""
        following = (targets + 1) % classes
        return {"none": targets, "some": torch.where(targets == 0, following, targets), "all": following}[mistakes]

    def output_fault(
        self, output: Any, decode: Callable[[Any], Any], shape: tuple[int, ...], classes: int
    ) -> str | None:
        expected = (shape[0], classes, *self.places(shape[1:]))
        found = tuple(output.shape) if isinstance(output, Tensor) else ()
        return None if found == expected else f"The output has shape {found}; it needs {expected}."

    def probe(self, classes: int) -> tuple[Tensor, Tensor]:
        return torch.eye(classes), torch.arange(classes)


class ClassTarget(LabelTarget):
    """The class of a sample, int64. Predictions and targets are stored for all samples; drawn is a confusion matrix."""

    kept = ("prediction", "target")

    def columns(self, predictions: Tensor, targets: Tensor, seen: int) -> dict[str, NDArray[Any]]:
        return {"prediction": predictions.int().numpy(), "target": targets.int().numpy()}

    def recomputed(self, samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Accuracy is the mean of right and wrong."""
        return {"accuracy": 100 * float(samples["outcome"].mean(dtype=float))}

    def pictures(
        self, runs: Sequence[Run], classes: Sequence[str], first: Callable[[], tuple[Tensor, Any]]
    ) -> Iterator[tuple[str, Figure]]:
        for run in runs:
            targets, predictions, names = _occurring(run.table["target"], run.table["prediction"], classes)
            shares = confusion(targets, predictions, len(names))
            yield run.label, confusion_matrix(shares, names, run.title)

    def fault(self, targets: Tensor, inputs: Tensor, classes: int, split: str) -> str | None:
        if targets.dtype != torch.int64 or targets.dim() != 1:
            return f"Classes of {split} are {targets.dtype} of shape {tuple(targets.shape)}; give int64, one a sample."
        if not bool(((targets >= 0) & (targets < classes)).all()):
            found = f"classes {int(targets.min())} to {int(targets.max())}"
            return f"{split} holds {found}; there are {classes}, counted from 0."
        return None


class PlaceTarget(LabelTarget, DrawnTarget):
    """The class of each place of a sample, uint8, drawn on the sample. Subclasses say what places are, and draw."""

    called: ClassVar[str]
    """The plural noun for targets in messages, capitalised."""

    def places(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[1:]

    def write(self, prediction: Tensor) -> bytes:
        return safetensors.torch.save({"map": prediction.contiguous()})

    def read(self, content: bytes) -> Tensor:
        return safetensors.torch.load(content)["map"]

    def known(self, targets: Tensor, classes: int) -> Tensor:
        """A mask of the labels that may occur in targets, bool of their shape."""
        return targets < classes

    def fault(self, targets: Tensor, inputs: Tensor, classes: int, split: str) -> str | None:
        if targets.dtype != torch.uint8:
            return f"{self.called} of {split} are {targets.dtype}; give uint8."
        found, expected = tuple(targets.shape[1:]), tuple(inputs.shape[2:])
        if found != expected:
            return f"{self.called} of {split} have shape {found}, their samples {expected}."
        unknown = targets[~self.known(targets, classes)].unique().tolist()
        if unknown:
            return f"{self.called} of {split} hold {unknown}, which are no classes of the task, counted from 0."
        return None


def confusion(targets: NDArray[Any], predictions: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """The confusion matrix in shares of each true class (rows), shape (classes, classes); 0 / 0 is 0."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (targets, predictions), 1)
    shares: NDArray[np.float64] = counts / counts.sum(1, keepdims=True).clip(min=1)
    return shares


def _occurring(
    targets: NDArray[Any], predictions: NDArray[Any], classes: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any], Sequence[str]]:
    """Of many classes those that are true for some sample; predictions of any other are one class more."""
    if len(classes) <= NAMED:
        return targets, predictions, classes
    found, renumbered = np.unique(targets, return_inverse=True)
    places = np.full(len(classes), len(found))
    places[found] = np.arange(len(found))
    return renumbered, places[predictions], [*(classes[index] for index in found), "any other"]


def confusion_matrix(shares: NDArray[np.float64], classes: Sequence[str], title: str) -> Figure:
    """A figure of a confusion matrix: true classes are rows, predicted ones columns."""
    from matplotlib.figure import Figure

    # Shares take more room than names alone.
    side = 3.0 + (0.28 if len(classes) <= WRITTEN else 0.15) * min(len(classes), NAMED)
    picture = Figure((side, side), dpi=110, layout="constrained")
    axis = picture.subplots()
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    picture.colorbar(drawn, shrink=0.7)
    if len(classes) <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.5 else "black"
            axis.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=6, color=colour)
    if len(classes) <= NAMED:
        ticks = range(len(classes))
        axis.set_xticks(ticks, classes, rotation=90, fontsize=7)
        axis.set_yticks(ticks, classes, fontsize=7)
    axis.set(xlabel="predicted", ylabel="true")
    picture.suptitle(title, fontsize=9)
    return picture
