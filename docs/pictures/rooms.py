"""Draws the rooms of the repository from the import contracts in pyproject.toml: python docs/pictures/rooms.py"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_suffix(".svg")

PACKAGES = {
    "benchmarks": ("suites, execution, records, pages", "#dbe9f6"),
    "adapters": ("networks: build, feed, read out, train", "#e3f0dc"),
    "tasks": ("data, splits, metrics; knows no spikes", "#fbeed0"),
    "conversion": ("ANN in, spiking network out", "#f6dfdc"),
}
# The packages of each column, from left to right; what stands further right is imported by what stands left of it.
COLUMNS = (("benchmarks",), ("adapters", "tasks"), ("conversion",))

COLUMN, GAP, BETWEEN, EDGE = 290, 60, 30, 16
LINE, HEADING, SPACE = 30, 50, 8
LETTER, PADDING = 7.0, 16.0
PER_LINE = 3


class Panel(NamedTuple):
    """One package: its name, the left and upper edge of its panel, and the height."""

    name: str
    x: float
    y: float
    height: float


def layers() -> dict[str, list[list[str]]]:
    """The rooms of each package by layer; a room imports rooms of lower layers only."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {
        contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
        for contract in contracts
        if "containers" in contract
    }


def lines(layer: list[str]) -> list[list[str]]:
    """A layer in lines that fit into a column."""
    return [layer[start : start + PER_LINE] for start in range(0, len(layer), PER_LINE)]


def height(rooms: list[list[str]]) -> float:
    return HEADING + sum(len(lines(layer)) * LINE + SPACE for layer in rooms) + SPACE


def panels(rooms: dict[str, list[list[str]]]) -> list[Panel]:
    """The position of each package; the last panel of a column reaches down to the foot of the picture."""
    foot = EDGE + max(sum(height(rooms[name]) + BETWEEN for name in column) - BETWEEN for column in COLUMNS)
    placed = []
    for index, column in enumerate(COLUMNS):
        y = float(EDGE)
        for name in column:
            tall = height(rooms[name]) if name != column[-1] else foot - y
            placed.append(Panel(name, EDGE + index * (COLUMN + GAP), y, tall))
            y += tall + BETWEEN
    return placed


def text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{words}</text>'


def draw_panel(panel: Panel, rooms: list[list[str]]) -> list[str]:
    purpose, colour = PACKAGES[panel.name]
    drawn = [
        f'<rect x="{panel.x:g}" y="{panel.y:g}" width="{COLUMN}" height="{panel.height:g}" rx="8" fill="{colour}"/>',
        text(panel.x + 12, panel.y + 22, f"{panel.name}/", 'class="package"'),
        text(panel.x + 12, panel.y + 40, purpose, 'class="purpose"'),
    ]
    y = panel.y + HEADING
    for layer in rooms:
        for line in lines(layer):
            wanted = [len(room) * LETTER + PADDING for room in line]
            spare = (COLUMN - 24 - SPACE * (len(line) - 1) - sum(wanted)) / len(line)
            x = panel.x + 12
            for room, width in zip(line, (one + spare for one in wanted), strict=True):
                box = f'width="{width:.1f}" height="{LINE - 6}" rx="4" class="room"'
                drawn.append(f'<rect x="{x:.1f}" y="{y:g}" {box}/>')
                drawn.append(text(round(x + width / 2, 1), y + 16, room, 'text-anchor="middle"'))
                x += width + SPACE
            y += LINE
        y += SPACE
    return drawn


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="arrow"/>'


def arrows(placed: list[Panel]) -> list[str]:
    """Draws the imports between packages as arrows."""
    benchmarks, adapters, tasks, conversion = placed
    found = []
    for left, right in (benchmarks, adapters), (benchmarks, tasks), (adapters, conversion), (tasks, conversion):
        y = (right if left is benchmarks else left).y + 32
        found.append(arrow(left.x + COLUMN + 6, y, right.x - 8, y))
    found.append(arrow(adapters.x + COLUMN / 2, adapters.y + adapters.height + 1, tasks.x + COLUMN / 2, tasks.y - 3))
    return found


def picture() -> str:
    rooms = layers()
    placed = panels(rooms)
    width = placed[-1].x + COLUMN + EDGE
    foot = placed[0].y + placed[0].height + EDGE
    body = [line for panel in placed for line in draw_panel(panel, rooms[panel.name])] + arrows(placed)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {foot:g}" width="{width:g}" height="{foot:g}"',
        '     font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">',
        "<title>The four packages and their rooms; imports run to the right, and within a package downwards</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        "<style>.room {fill: #fff; stroke: #999} .package {font-size: 16px; font-weight: bold} .purpose {fill: #555}",
        "  .arrow {stroke: #555; stroke-width: 2; marker-end: url(#head)}</style>",
        f'<rect width="{width:g}" height="{foot:g}" fill="#fff"/>',
        *body,
        "</svg>",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(f"Written: {PICTURE.relative_to(ROOT)}")
