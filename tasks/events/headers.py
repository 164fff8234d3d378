"""What the headers of recordings say, typed; events themselves are arrays, which their readers check."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tasks.typed import Positive, Record, WrittenWhole

PACKET = np.dtype([
    ("kind", "<i2"), ("source", "<i2"),
    *((name, "<i4") for name in ("size", "offset", "overflow", "capacity", "number", "valid")),
])  # fmt: skip
"""The header of a packet of AEDAT 3.1, 28 bytes."""


class DatHeader(Record):
    """The header of Prophesee's .dat: lines of text, the kind of events and their size."""

    version: Literal["2"] = Field(description="2, the only version of .dat that is read")
    event_bytes: Literal[8] = Field(description="8")


class Packet(Record):
    """The header of a packet of AEDAT 3.1.

    Attributes:
        kind: 1 is of changes of brightness.
        size: bytes of an event.
        overflow: how often the clock of 31 bits has begun anew.
        number: events in the packet.
    """

    kind: int = Field(description="a whole number")
    size: Positive = Field(description="at least 1 byte")
    overflow: Annotated[int, Field(ge=0)] = Field(description="at least 0")
    number: Annotated[int, Field(ge=0)] = Field(description="at least 0")


class Camera(Record):
    """The camera of a stream, in the header of AEDAT 4."""

    width: WrittenWhole = Field(alias="sizeX", description="a number of pixels")
    height: WrittenWhole = Field(alias="sizeY", description="a number of pixels")
