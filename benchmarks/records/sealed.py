"""Sealed JSON: an object whose last entry, `digest`, is the SHA-256 of the text without it.

Every JSON file of ours is sealed: records, baselines, manifests, leases, and what stands beside converted networks. A
flipped bit, a cut or an edit by hand shows before anything in the file is believed.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

ENTRY = re.compile(rb',(?:\n )?"digest": "[0-9a-f]{64}"(\n?\}\n?)\Z')
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
LONGEST = 96
"""Bytes that the entry and the end of the object have at most."""
END = re.compile(rb"\n?\}\n?\Z")


class Damaged(ValueError):
    """A text that is not what was written; the message continues "it is damaged"."""


def seal(text: bytes) -> bytes:
    """Adds the digest to the text of a JSON object that has other entries."""
    end = END.search(text, max(len(text) - 3, 0))
    assert end is not None
    indent = b"\n " if end[0].startswith(b"\n") else b""
    entry = b"," + indent + b'"digest": "' + hashlib.sha256(text).hexdigest().encode() + b'"'
    return text[: end.start()] + entry + end[0]


def unseal(content: bytes) -> bytes | None:
    """The text without its digest; None where it has none, as files of earlier versions.

    Raises:
        Damaged: the digest is not that of the text.
    """
    entry = ENTRY.search(content, max(len(content) - LONGEST, 0))
    if entry is None:
        return None
    text = content[: entry.start()] + entry[1]
    if seal(text) != content:
        raise Damaged("its digest is not that of its content: it was changed after it was written")
    return text


def parsed(content: bytes) -> Any:
    """The content of a JSON text, with its digest if it has one, unchecked.

    Raises:
        Damaged: it is no JSON.
    """
    try:
        found = json.loads(content.decode())
        if SURROGATE.search(content):  # Pairs of them are characters, single ones cannot be written anywhere.
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeError:
        raise Damaged("it is no text") from None
    except RecursionError:
        raise Damaged("it is nested too deeply") from None
    except ValueError as error:  # Also a number of thousands of digits.
        raise Damaged(f"it is no JSON: {error}") from None


def opened(content: bytes, version: str, since: int) -> Any:
    """The content of a sealed JSON text, without its digest.

    Args:
        version: the key of the version of its format.
        since: the first version that has a digest; texts of earlier ones may lack it.

    Raises:
        Damaged: it is no JSON, its digest is not that of its content, or it has none.
    """
    text = unseal(content)
    found = parsed(content if text is None else text)
    if text is None and not _earlier(found, version, since):
        raise Damaged("it has no digest of its content")
    return found


def _earlier(found: Any, version: str, since: int) -> bool:
    """Whether a content is of a version from before there were digests; a digest elsewhere in it is none."""
    if not isinstance(found, dict) or "digest" in found:
        return False
    number = found.get(version)
    return isinstance(number, int) and not isinstance(number, bool) and number < since
