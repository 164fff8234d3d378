"""Measures the page in a browser: `python -m benchmarks.performance.page [--results results/published]`.

Prints its size, the time to the first paint, and how long a click on a heading takes, until rows are in order and laid
out, with as many rows as there are and with 500 and 5,000: the rows of the page, repeated with other scores and
energies. In milliseconds, in brackets those of the main thread's processor time, which a busy machine does not change
much. Needs playwright and a Chromium on the PATH.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.choices import PUBLISHED
from benchmarks.site.embed import as_json
from benchmarks.site.page import render
from benchmarks.suites.plugins import load_plugins

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

SIZES = (500, 5000)
ATTEMPTS = 3
HEADINGS = ("energy, % of ANN", "method", "score, %", "T", "spikes")
ROWS = re.compile(r'(<script type="application/json" id="data-rows">)(.*?)(</script)', re.DOTALL)
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
SORT = """([title, times]) => {
  const found = [];
  for (let i = 0; i < times; i++) {
    const buttons = [...document.querySelectorAll('#rows thead button')];
    const button = buttons.find((each) => each.textContent.startsWith(title));
    const start = performance.now();
    button.click();
    document.body.offsetHeight;
    found.push(performance.now() - start);
  }
  return found;
}"""


def resized(page: str, count: int) -> str:
    """The page with so many rows: its own, repeated with scores and energies moved at random."""
    found = ROWS.search(page)
    assert found is not None
    data = json.loads(found[2])
    source = [index % len(data["board"]) for index in range(count)]
    draw = random.Random(0)
    moved = [1.0 if index < len(data["board"]) else draw.uniform(0.8, 1.2) for index in range(count)]

    def column(values: list[Any], by: bool = False) -> list[Any]:
        picked = [values[place] for place in source]
        return [value if value is None else value * factor for value, factor in zip(picked, moved, strict=True)] \
            if by else picked  # fmt: skip

    for name, content in data.items():
        if isinstance(content, dict) and "codes" in content:
            content["codes"] = column(content["codes"])
        elif isinstance(content, list) and len(content) == len(data["kind"]) and name not in ("boards", "kind"):
            data[name] = column(content, by=name in ("value", "low", "high", "spikes"))
    data["kind"] = column(data["kind"])
    for shares in data["share"].values():
        for coding in shares:
            shares[coding] = column(shares[coding], by=True)
    return page[: found.start(2)] + str(as_json(data)) + page[found.end(2) :]


def main(results: Annotated[Path, typer.Option(help="The folder of results.")] = PUBLISHED, times: int = 7) -> None:
    """Prints the times of the page of a folder of results, in milliseconds."""
    from playwright.sync_api import sync_playwright

    load_plugins()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    page = render(results)
    own = len(json.loads(ROWS.search(page)[2])["board"])  # type: ignore[index]
    print(f"{len(page.encode()) / 1e6:.2f} MB, {own} rows")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for count in (own, *SIZES):
            path = Path(folder) / f"{count}.html"
            path.write_text(resized(page, count), encoding="utf-8")
            paints, loads = [], []
            for attempt in range(ATTEMPTS):
                context = browser.new_context(viewport={"width": 1300, "height": 900})
                shown = context.new_page()
                shown.set_default_timeout(300_000)
                clock = context.new_cdp_session(shown)
                clock.send("Performance.enable", {"timeDomain": "threadTicks"})
                shown.goto(path.as_uri())
                shown.wait_for_selector("#chart svg, #chart canvas")
                paints.append(shown.evaluate(PAINT))
                loads.append(_busy(clock))
                if attempt == ATTEMPTS - 1:
                    shown.click("#filters button[type=reset]")  # All rows, not those of one task.
                    shown.wait_for_timeout(2000)
                    sorts = []
                    for title in HEADINGS:
                        before = _busy(clock)
                        spent = statistics.median(shown.evaluate(SORT, [title, times]))
                        sorts.append(f"{title} {spent:.0f} ({(_busy(clock) - before) / times:.0f})")
                context.close()
            print(f"{count} rows: first paint {min(paints):.0f}, loaded and drawn ({min(loads):.0f}); sorted by "
                  f"{', '.join(sorts)}", flush=True)  # fmt: skip
        browser.close()


def _busy(clock: CDPSession) -> float:
    """The processor time of the page's main thread so far."""
    metrics = {each["name"]: each["value"] for each in clock.send("Performance.getMetrics")["metrics"]}
    return 1000 * float(metrics["TaskDuration"])


if __name__ == "__main__":
    typer.run(main)
