"""Text from records inside an HTML page: as JSON that no parser takes for markup, beside scripts known by hash."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from benchmarks.text import one_line

UNSAFE = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})
"""What ends a script or starts a tag, and the ends of lines that JSON allows and JavaScript did not."""


def as_json(value: Any) -> Markup:
    """JSON for the inside of a script element of type application/json.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))


def shown(value: Any) -> Any:
    """Plain values with every text in one line and without characters that control instead of being shown."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(str(name)): shown(each) for name, each in value.items()}
    return [shown(each) for each in value] if isinstance(value, list | tuple) else value


def script(text: str) -> Markup:
    """JavaScript for the inside of a script element, which it cannot end."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def policy(scripts: Sequence[str]) -> str:
    """A content security policy: these scripts run and no others, no text is evaluated, nothing is fetched."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def coded(texts: Iterable[str]) -> dict[str, list[Any]]:
    """A column of texts: the different ones in their order, and for each row the place of its own."""
    places: dict[str, int] = {}
    codes = [places.setdefault(text, len(places)) for text in texts]
    return {"names": list(places), "codes": codes}
