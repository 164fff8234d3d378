"""Figures made of panels, and the colours of classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

if TYPE_CHECKING:  # It takes a moment to load, and only `report` draws.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.6
"""Width of a panel in inches."""

Painter = Callable[["Axes", Tensor, Any, Sequence[str]], None]
"""Draws a sample and an answer, its target or a prediction, into axes; takes the names of the classes."""


@dataclass(frozen=True)
class Panel:
    """A target or prediction of one sample, with a title."""

    title: str
    answer: Any


@dataclass(frozen=True)
class Mark:
    """Something that an answer says of its sample: a box, or the places of one class.

    Attributes:
        label: its class.
        score: how sure a network is of it; None where it does not say so, and for truth.
    """

    label: int
    score: float | None = None


class Printed(ABC):
    """A target that can be printed: what it marks in colours of the page, what it says about them in the margin."""

    hides: ClassVar[bool]
    """Whether an answer covers its sample, which then needs a panel of its own."""
    key: ClassVar[str]
    """A sentence on how to read what is painted; the legend of the classes is beside it."""

    @abstractmethod
    def marks(self, answer: Any) -> list[Mark]:
        """What an answer, a target or a prediction, says of its sample, the surest first."""

    @abstractmethod
    def paint(self, axis: Axes, sample: Tensor, answer: Any, colours: Mapping[int, str]) -> None:
        """Draws an answer into axes without ticks: its marks in the colours of their classes, no text but numbers.

        Marks that have scores are numbered from 1 in the order of `marks`.
        """


def sheet(rows: Sequence[tuple[Tensor, Sequence[Panel]]], classes: Sequence[str], draw: Painter, dpi: int) -> Figure:
    """A figure with a row for each sample and a column for each answer."""
    from matplotlib.figure import Figure

    columns = max(len(panels) for _, panels in rows)
    picture = Figure((PANEL * columns, (PANEL + 0.25) * len(rows)), dpi=dpi, layout="constrained")
    grid = picture.subplots(len(rows), columns, squeeze=False)
    for axes, (sample, panels) in zip(grid, rows, strict=True):
        for axis, panel in zip(axes, panels, strict=True):
            axis.set_title(panel.title, fontsize=8)
            axis.set_axis_off()
            draw(axis, sample, panel.answer, classes)
    return picture


def palette(count: int) -> list[tuple[int, int, int]]:
    """A colour for each of `count` classes, red, green and blue in 0..255; they recur after 20."""
    from matplotlib import colormaps

    colours = colormaps["tab20" if count > 10 else "tab10"]
    return [tuple(int(255 * part) for part in colours(k % colours.N)[:3]) for k in range(count)]  # type: ignore[misc]
