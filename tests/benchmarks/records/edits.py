"""Edits of sealed files by somebody who makes the digest fit, as a forger or a buggy writer does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.records.sealed import seal


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the content of a sealed JSON file and seals it again."""
    content = json.loads(path.read_text())
    content.pop("digest", None)
    change(content)
    path.write_bytes(seal(json.dumps(content).encode()))
