"""Draws the pictures of docs/figures.md from published results, small ones: python docs/pictures/gallery.py"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from benchmarks.api import select_suites
from benchmarks.pages.figures.data import Source
from benchmarks.pages.figures.families import family
from benchmarks.pages.figures.style import styled

ROOT = Path(__file__).parents[2]
SHOWN = {
    "energy": "adaptive",
    "exits": "adaptive",
    "errors": "adaptive",
    "tasks": "mini",
    "predictions": "mini",
    "codes": "mini",
}
"""Families of figures, and the published suite that each is drawn from."""


def draw() -> None:
    with styled():
        for name, suite in SHOWN.items():
            chosen = select_suites(suite, results=ROOT / "results/published")
            sources = [Source(each.suite, each.cells, each.store) for each in chosen]
            plot = next(family(name).draw(sources))
            path = Path(__file__).parent / f"figure-{name}.png"
            content = io.BytesIO()
            plot.figure.savefig(content, dpi=130)
            # Figures have few colours besides shades of grey: these are enough, and each file is below 100 kB.
            Image.open(content).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
            print(f"Written: {path.relative_to(ROOT)}, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    draw()
