"""The page with more rows than there are, which is measured in a browser."""

from __future__ import annotations

import json

from benchmarks.performance.page import ROWS, resized
from benchmarks.site.embed import as_json


def test_a_page_grows_by_repeating_its_rows_with_other_figures() -> None:
    data = {
        "boards": [{"ann": 90.0}], "prices": ["p"], "board": [0, 0, 0], "kind": [2, 0, 0], "T": [None, 1, 2],
        "value": [90.0, 80.0, 70.0], "method": {"names": ["ann", "burst"], "codes": [0, 1, 1]},
        "share": {"p": {"unary": [100.0, None, 50.0]}}, "cells": [[0], [1], [2]],
    }  # fmt: skip
    page = f'<p><script type="application/json" id="data-rows">{as_json(data)!s}</script></p>'
    grown = ROWS.search(larger := resized(page, 7))
    assert grown is not None and larger.startswith("<p>") and larger.endswith("</script></p>")
    found = json.loads(grown[2])
    assert found["method"]["codes"] == [0, 1, 1, 0, 1, 1, 0] and found["kind"] == [2, 0, 0, 2, 0, 0, 2]
    assert found["value"][:3] == [90.0, 80.0, 70.0] and 0.8 * 80 <= found["value"][4] <= 1.2 * 80 != found["value"][4]
    assert found["share"]["p"]["unary"][1] is found["share"]["p"]["unary"][4] is None
    assert found["boards"] == data["boards"] and len(found["cells"]) == 7
    smaller = ROWS.search(resized(page, 2))
    assert smaller is not None and json.loads(smaller[2])["T"] == [None, 1]
