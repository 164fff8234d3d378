"""One page of all results for the browser, `report.html`: a file of its own that asks no network for anything."""
