"""The page in a browser: it filters, sorts, zooms and opens records, asks nobody for anything, and has no errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.site.conftest import EVIL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH to show the page in"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """The page in a tab, and all that it asked for or said on the console."""

    def __init__(self, tab: Page, address: str) -> None:
        self.tab, self.address = tab, address
        self.said: list[str] = []
        self.asked: list[str] = []
        tab.set_default_timeout(60_000)
        tab.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: self.said.append(str(error)))
        tab.on("request", lambda request: self.asked.append(request.url))
        self.open("")

    def open(self, hash: str) -> None:
        self.tab.goto("about:blank")
        self.tab.goto(self.address + hash)
        self.tab.wait_for_selector("#chart svg")


@pytest.fixture(scope="module")
def watched(browser: Browser, results: Path) -> Watched:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    return Watched(context.new_page(), (results / "report.html").as_uri())


@pytest.fixture
def page(watched: Watched) -> Iterator[Page]:
    """The page with all rows of digits; afterwards it is an error if anything was loaded, said or run."""
    tab = watched.tab
    if tab.locator("#record").is_visible():
        tab.keyboard.press("Escape")
    tab.select_option("#price", "horowitz45")
    tab.select_option("#coding", "unary")
    tab.fill("#latency", "")
    tab.click("#filters button[type=reset]")
    tab.select_option("#task", "digits")
    yield tab
    assert watched.said == []
    assert {url.partition("#")[0] for url in watched.asked} <= {watched.address, "about:blank"}
    assert tab.evaluate("window.evil") is None and tab.locator("img").count() == 0


def column(page: Page, name: str) -> list[str]:
    """The texts of a column of the leaderboard."""
    titles = [title.rstrip(" \u2191\u2193") for title in page.locator("#rows thead th").all_inner_texts()]
    place = titles.index(name) + 1
    return page.locator(f"#rows tbody tr:not(.space) td:nth-child({place})").all_inner_texts()


def test_it_opens_with_the_board_of_most_rows(watched: Watched) -> None:
    assert watched.tab.locator("#count").inner_text() == "12 of 14 rows"
    assert watched.tab.locator("#task").input_value() == "digits" and watched.said == []


def test_filters_narrow_rows_and_chart(page: Page) -> None:
    assert page.locator("#count").inner_text() == "12 of 14 rows"
    page.fill("#method", "burst phi=2")
    assert set(column(page, "method")) == {"burst:phi=2"} and page.locator("#count").inner_text() == "3 of 14 rows"
    page.fill("#method", "")
    page.fill("#energy", "10")
    assert all(float(share) <= 10 for share in column(page, "energy, % of ANN"))
    page.fill("#energy", "")
    page.fill("#latency", "1")
    assert {T for T in column(page, "T") if T} == {"1"}
    assert "phase" not in page.locator("#best").inner_text(), "its answer comes after 8 steps"
    page.fill("#latency", "")
    page.check("#front")
    assert "snm" not in column(page, "method") and "phase" in column(page, "method"), "chance is on no front"
    page.click("#filters button[type=reset]")
    assert page.locator("#count").inner_text() == "14 of 14 rows"
    page.locator("#legend button", has_text="burst").click()
    assert not any(method.startswith("burst") for method in column(page, "method"))


def test_prices_and_counting_change_energies(page: Page) -> None:

    def energies() -> dict[str, str]:
        return dict(zip(column(page, "method"), column(page, "energy, % of ANN"), strict=True))

    before = energies()
    page.select_option("#coding", "graded")
    after = energies()
    assert float(after["phase"]) < float(before["phase"])
    page.wait_for_function("document.getElementById('chart').textContent.includes('graded')")
    page.select_option("#price", "lemaire32k")
    assert energies() != after
    assert "coding=graded" in page.url and "price=lemaire32k" in page.url


def test_columns_sort_both_ways(page: Page) -> None:
    for name, title in (("share", "energy, % of ANN"), ("T", "T"), ("method", "method")):
        button = page.locator(f"#rows thead button[data-key={name}]")
        key = str.casefold if name == "method" else float
        button.click()
        values = [value for value in column(page, title) if value]
        assert values == sorted(values, key=key), title
        assert button.locator("..").get_attribute("aria-sort") == "ascending"
        button.click()
        assert [value for value in column(page, title) if value] == sorted(values, key=key, reverse=True), title
        assert button.locator("..").get_attribute("aria-sort") == "descending"


def labels(page: Page) -> list[str]:
    return page.locator("#chart .role-axis-label text").all_inner_texts()


def test_the_chart_zooms_and_a_point_opens_its_record(page: Page) -> None:
    before = labels(page)
    page.click("#zoom-in")
    page.wait_for_function("before => JSON.stringify([...document.querySelectorAll('#chart .role-axis-label text')]"
                           ".map(e => e.textContent)) !== before", arg=str(before))  # fmt: skip
    page.click("#zoom-all")
    page.wait_for_function("document.getElementById('chart-note').textContent.includes('outside') === false")
    box = page.locator("#chart svg").bounding_box()
    assert box is not None
    wide = labels(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    assert labels(page) != wide, "the wheel zooms"
    page.click("#zoom-all")
    page.wait_for_timeout(300)
    page.locator("#chart path[aria-roledescription=point]").last.click(force=True)
    assert page.locator("#record").is_visible()


def test_a_record_opens_by_keyboard_with_all_that_is_known(page: Page) -> None:
    page.fill("#method", "burst:phi=4")
    page.locator("#rows tbody tr[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.place") == "1"
    page.keyboard.press("Enter")
    record = page.locator("#record")
    page.wait_for_selector("#record #errors svg")
    text = record.inner_text()
    assert "burst:phi=4" in text and "T=2" in text and "70.00 %" in text
    assert "python run_all.py run --suite own.yaml --task digits --network digits_convnet --method burst:phi=4" in text
    drawn = set(record.locator("figcaption").all_inner_texts())
    assert {"Score after each step of this conversion", "Early exit: where samples left"} <= drawn
    assert {"Spikes of each layer", "Error of each layer, by kind, in percent of its activation"} <= drawn
    row = record.locator("#layers tbody tr").first.inner_text()
    assert "<img" in row and "0.5 to 1.5" in row, "a layer's name is text, whatever it is"
    page.keyboard.press("Escape")
    assert not record.is_visible()


def test_seeds_are_records_of_their_own_and_addresses_open_them(page: Page, watched: Watched) -> None:
    page.fill("#method", "calibration")
    page.locator("#rows tbody tr:not(.space)").first.click()
    page.select_option("#record .head select", "1")
    assert "seed 1" in page.locator("#record").inner_text()
    watched.open("#" + page.url.partition("#")[2])
    page.wait_for_selector("#record[open]")
    assert "seed 1" in page.locator("#record").inner_text()


def test_a_name_of_markup_is_shown_as_it_is(page: Page) -> None:
    shown = EVIL.replace("\u2028", " ")
    page.select_option("#task", shown)
    assert page.locator("#best button.filter", has_text="onerror").inner_text() == shown
    page.select_option("#task", "")
    assert shown in column(page, "task")


def test_dark_light_and_print(page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != light and page.locator("#theme").inner_text() == "Light"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(255, 255, 255)" and not page.locator("header").is_visible()
    assert len(page.pdf()) > 10_000
    page.emulate_media(media="screen")
    page.click("#theme")
