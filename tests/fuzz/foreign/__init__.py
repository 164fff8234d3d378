"""Mutated files from outside, by family: weights, recordings, annotations, images, clouds, networks.

Each target takes a seed, writes a valid file, changes it at random and reads it. Whatever comes of it is a result, or
an error of ours that names the file; any other exception is a find.
"""

from __future__ import annotations

from tests.fuzz.foreign import boxes, events, images, networks, points, weights

PARSERS = (
    *weights.PARSERS, *events.PARSERS, *boxes.PARSERS, *images.PARSERS, *points.PARSERS, *networks.PARSERS,
)  # fmt: skip
TARGETS = tuple((parser.name, parser) for parser in PARSERS)
