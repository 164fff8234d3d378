"""Files of MATLAB, against scipy for what it writes, and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from conversion.errors import InvalidInput
from tasks.matlab import read_mat


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64, np.int64, np.float32])
def test_arrays_are_those_that_scipy_reads(kind: type[Any], packed: bool, tmp_path: Path) -> None:
    path, values = tmp_path / "a.mat", np.arange(12).reshape(3, 4).astype(kind)
    scipy.io.savemat(path, {"other": np.ones(3), "a": values}, do_compression=packed)
    found = read_mat(path, "a", "file")
    assert found.dtype == values.dtype and np.array_equal(found, scipy.io.loadmat(path)["a"])


@pytest.mark.parametrize("packed", [False, True])
def test_structures_hold_numbers_texts_and_cells(packed: bool, tmp_path: Path) -> None:
    cells = np.array([np.eye(2), "two"], dtype=object)
    rows = np.array([(1, "n01", cells), (2, "zwölf", cells)], dtype=[("id", "O"), ("wnid", "O"), ("cells", "O")])
    scipy.io.savemat(tmp_path / "a.mat", {"rows": rows}, do_compression=packed)
    first, second = read_mat(tmp_path / "a.mat", "rows", "file")
    assert (first["id"].item(), second["id"].item(), first["wnid"], second["wnid"]) == (1, 2, "n01", "zwölf")
    assert first["cells"][0].tolist() == [[1, 0], [0, 1]] and first["cells"][1] == "two"


def test_what_is_of_another_class_is_none(tmp_path: Path) -> None:
    """The borders of SBD are sparse, and are not needed."""
    scipy.io.savemat(tmp_path / "a.mat", {"a": {"borders": scipy.sparse.eye(3, format="csc"), "map": np.ones((2, 2))}})
    [found] = read_mat(tmp_path / "a.mat", "a", "file")
    assert found["borders"] is None and found["map"].tolist() == [[1, 1], [1, 1]]


def test_what_is_damaged_or_absent_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"a": np.ones((2, 2))})
    with pytest.raises(InvalidInput, match=r"a\.mat is no file \(it has no variable b\)"):
        read_mat(path, "b", "file")
    content = path.read_bytes()
    for kept in (0, 100, 130, 150, len(content) - 8):
        path.write_bytes(content[:kept])
        with pytest.raises(InvalidInput, match=r"a\.mat is no file"):
            read_mat(path, "a", "file")
    with pytest.raises(InvalidInput, match=r"b\.mat cannot be read"):
        read_mat(tmp_path / "b.mat", "a", "file")
