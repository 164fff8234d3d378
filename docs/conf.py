"""The documentation as a site: `make docs` builds it into build/site.

Sphinx reads the whole repository as its source, so that the Markdown is the same on GitHub and on the site and a link
from docs/ to the README or to a published table works on both. Built with -W and -n, a broken link is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "Adaptive Calibration benchmark"
author = "The adaptive-calibration-bench developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "docs/index"
include_patterns = [
    "*.md", "docs/*.md", "docs/pictures/*", "results/README.md", "results/published/*/results.md",
]  # fmt: skip
# Not looked through, as they may be large.
exclude_patterns = [".*", "build", "runs"]
source_suffix = {".md": "markdown"}

# Headings get the anchors that GitHub gives them.
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
# What is opened at the root of the site leads to the first page.
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False

# In docstrings, `x` is code, as in Markdown.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_ivar = True
# A colon in what a function returns is no type; types are in the signature.
napoleon_use_rtype = False
nitpick_ignore_regex = [
    # Other libraries, whose inventories are not at hand when the site is built offline.
    ("py:.*", r"(abc|collections|nir|numpy|onnx|os|pandas|pathlib|PIL|pydantic|torch|typing)\..*"),
    # Our own types that signatures name and that have no entry of their own.
    ("py:.*", r"(adapters|benchmarks|conversion|tasks)\..*"),
    # Docstrings name errors, and fields that share a line, without their module.
    ("py:(exc|class)", r"\w+"),
]


def leave_out_pydantic(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: object) -> bool | None:
    """Methods are pydantic models; what pydantic adds to them is no part of the reference."""
    return True if name in ("model_config", "model_post_init") else None


def as_plain_text(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keeps two signs of docstrings from being read as markup: bars of an absolute value, and the colon of a property.

    Napoleon takes what stands before the first colon of a property's first line for a type; the empty comment takes
    the place of that line.
    """
    lines[:] = [line if "`" in line else line.replace("|", "\\|") for line in lines]
    if what in ("property", "attribute") and lines:
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", leave_out_pydantic)
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
