"""Pages of Markdown as HTML for the page: tags of the text stay text, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markupsafe import Markup

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])


def html(lines: Sequence[str]) -> Markup:
    """The HTML of some lines of Markdown; tables can be scrolled by themselves."""
    rendered = _PARSER.render("\n".join(lines))
    opened = rendered.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return Markup(opened.replace("</table>", "</table></div>"))
