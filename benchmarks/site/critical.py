"""The critical-difference diagram (Demsar 2006): methods by mean rank, bars over groups not told apart."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.site.ranking import Ranking

WIDTH, EDGE, LINE, BAR = 720.0, 190.0, 22.0, 9.0
TOP = 58.0


@dataclass(frozen=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True)
class Label:
    """A method: its mark on the axis, and its name at an edge."""

    x: float
    y: float
    edge: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Bar:
    start: float
    end: float
    y: float


@dataclass(frozen=True)
class Diagram:
    """Coordinates of a diagram, for the template that draws it."""

    width: float
    height: float
    axis: float
    left: float
    right: float
    ticks: list[Tick]
    labels: list[Label]
    bars: list[Bar]
    difference: float
    difference_end: float


def diagram(ranking: Ranking) -> Diagram:
    """The diagram of a ranking; rank 1 is on the left."""
    count = len(ranking.methods)
    left, right = EDGE, WIDTH - EDGE

    def x(rank: float) -> float:
        return left + (right - left) * (rank - 1) / max(count - 1, 1)

    bars = [
        Bar(x(float(ranking.ranks[first])) - 4, x(float(ranking.ranks[last])) + 4, TOP + 8 + BAR * place)
        for place, (first, last) in enumerate(ranking.cliques())
    ]
    below = TOP + 22 + BAR * len(bars)
    half = (count + 1) // 2
    labels = []
    for place, (method, rank) in enumerate(zip(ranking.methods, ranking.ranks, strict=True)):
        on_left = place < half
        row = place if on_left else count - 1 - place
        labels.append(Label(
            x(float(rank)), below + LINE * row, left - 12 if on_left else right + 12, "end" if on_left else "start",
            f"{method}  {rank:.2f}",
        ))  # fmt: skip
    return Diagram(
        WIDTH, below + LINE * half, TOP, left, right, [Tick(x(rank), str(rank)) for rank in range(1, count + 1)],
        labels, bars, ranking.critical_difference, x(1 + min(ranking.critical_difference, count - 1)),
    )  # fmt: skip
