"""The interface of a family of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.pages.figures.data import Source


@dataclass(frozen=True)
class Plot:
    """A figure that was drawn.

    Attributes:
        name: of its files, without suffix.
    """

    name: str
    figure: Figure


@dataclass(frozen=True)
class Family:
    """Figures of one kind, drawn from the records of suites.

    Attributes:
        name: what `--figure` takes.
        number: that of the paper's figure which it regenerates; `--figure` takes it, too.
        title: what it shows, in a few words.
        draw: yields a figure for each task and network whose records hold what it needs.
        needs: what those records are, and which run makes them.
        computed: the library computes it and no record is needed; it is drawn where it is asked for.
    """

    name: str
    number: int | None
    title: str
    draw: Callable[[Sequence[Source]], Iterator[Plot]]
    needs: str
    computed: bool = False
