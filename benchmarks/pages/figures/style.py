"""The look of all figures: one style file, a palette for all readers, and what every axis has to say.

The palette is that of Okabe and Ito ("Color Universal Design", 2008), without its yellow, which vanishes on paper.
Colours never stand alone: lines differ in their markers, bars in their hatches. Scales of many shades are cividis.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import matplotlib
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.text import one_line
from conversion.files import write_atomically

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
CLASSES = (*COLOURS, "#ffe699", "#801a00", "#00004d", "#334d4d", "#4d80ff", "#ffff00")
"""Of areas, which have no markers: as far apart as `COLOURS` are, also for those who do not see red or green."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
GREY = "#999999"
PAGE = 7.0
"""Width of a page's text in inches."""
LINE = 130
"""Letters of a legend that fit into the width of a page."""
FORMATS = {"pdf": {"CreationDate": None, "Producer": None}, "svg": {"Date": None}, "png": {"Software": None}}
"""Formats of the files, and what is left out of them so that the same figure is the same file."""


@contextmanager
def styled() -> Iterator[None]:
    """Figures are made and saved in the style of this package, whatever the user's own is."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        style.use(Path(str(files("benchmarks.pages.figures"))) / "style.mplstyle")
        yield


def canvas(rows: int, columns: int, height: float, width: float = PAGE) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a grid of panels; sizes in inches."""
    figure = Figure((width, height))
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def title(figure: Figure, text: str) -> None:
    """Puts a title over all panels, in as many lines as the figure's width needs."""
    letters = int(0.8 * LINE * figure.get_figwidth() / PAGE)  # Titles are larger than what legends hold.
    figure.suptitle(textwrap.fill(one_line(text), letters, break_on_hyphens=False))


def with_n(text: str, n: int, of: str = "", *, line: bool = False) -> str:
    """The label of an axis with the number of samples behind it, "accuracy, % (n = 10,000)", or below it."""
    between = "\n" if line else " "
    return f"{text}{between}(n = {n:,}{' ' * bool(of)}{of})"


def plain_log(axis: Axes, which: str, base: int = 10) -> None:
    """A logarithmic axis, "x" or "y", with plain numbers at 1, 2, 5, 10 ..., or at powers of two.

    An axis that is shorter than a decade has ticks in between, and one of many decades only at them.
    """
    scaled = axis.xaxis if which == "x" else axis.yaxis
    axis.set(**{f"{which}scale": "log"})
    low, high = sorted(axis.get_xlim() if which == "x" else axis.get_ylim())
    short, long = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1,)
    steps = long if base == 2 or high > 1000 * low else (1, 2, 5) if high > 8 * low else short
    ticks = [step * float(base) ** power for power in range(-12, 13) for step in steps]
    scaled.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    scaled.set_minor_locator(NullLocator())
    scaled.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def below(figure: Figure, axis: Axes, columns: int = 4) -> None:
    """The legend of an axis under all panels, where it covers no data, in as many columns as have room."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        shown = [one_line(label) for label in labels]
        room = LINE // (8 + max(map(len, shown)))  # A marker and a gap take as much as eight letters.
        figure.legend(handles, shown, loc="outside lower center", ncols=max(1, min(columns, room)))


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes a figure as PDF, SVG and PNG; returns the paths."""
    paths = []
    for suffix, metadata in FORMATS.items():
        content = io.BytesIO()
        figure.savefig(content, format=suffix, metadata=metadata)
        paths.append(folder / f"{name}.{suffix}")
        write_atomically(paths[-1], content.getvalue())
    return paths
