"""Files of MATLAB, versions 4 to 7, read by scipy."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import scipy.io
from scipy.io.matlab import MatReadError

from conversion.errors import InvalidInput

DAMAGED = (
    MatReadError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    NotImplementedError, zlib.error,
)  # fmt: skip
"""Errors of scipy's reader, by the place of the damage. NotImplementedError is a file of version 7.3, which is HDF5."""
MOST_BYTES = 2**28
"""Bytes of a file: scipy makes arrays as large as a file says they are."""


def read_mat(path: Path, name: str, what: str, **options: Any) -> Any:
    """A variable of a file of MATLAB.

    Args:
        what: the file for the error message: "class map of SBD".
        options: of `scipy.io.loadmat`.

    Raises:
        InvalidInput: the file is missing, damaged, or has no such variable.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InvalidInput(f"The file {path} has more than {MOST_BYTES:,} bytes, which no {what} has.")
        return scipy.io.loadmat(path, variable_names=[name], **options)[name]
    except DAMAGED as error:
        raise InvalidInput(f"The file {path} is no {what}; unpack its archive again.") from error
