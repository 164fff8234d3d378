"""Files of weights."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from adapters.weights import load_weights
from tests.fuzz.foreign.parser import Parser, written


def saved(*contents: Callable[[], Any], zipped: bool = True) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        paths = [folder / f"{number}.pt" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            torch.save(content(), path, _use_new_zipfile_serialization=zipped)
        return paths

    return write


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def state() -> dict[str, Any]:
    return {"state_dict": model().state_dict(), "epoch": 3}


def whole() -> dict[str, Any]:
    return {"model": model().half(), "train_args": {"imgsz": 640}}


def weights(path: Path) -> object:
    return load_weights(model(), path)


def pickles(folder: Path) -> list[Path]:
    """The pickles in files of torch, which the checksums of an archive keep changes from."""
    found = []
    for path in saved(state, whole)(folder):
        with zipfile.ZipFile(path) as archive:
            found += written(f"{path.stem}.pkl", archive.read(f"{path.stem}/data.pkl"))(folder)
    return found


def pickle_in_archive(path: Path) -> object:
    """Reads a pickle as that of an archive of torch, with numbers for ten tensors."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("w/data.pkl", path.read_bytes())
        for key in range(10):
            archive.writestr(f"w/data/{key}", bytes(64))
    path.write_bytes(content.getvalue())
    return weights(path)


PARSERS: tuple[Parser, ...] = (
    Parser("state dict", "w.pth", saved(state, lambda: model().state_dict()), weights),
    Parser("network", "w.pt", saved(whole, model), weights),
    Parser("old state dict", "w.th", saved(state, whole, zipped=False), weights),
    Parser("pickle", "w.pt", pickles, pickle_in_archive),
    Parser("safetensors", "w.safetensors", lambda folder: [
        written("w.safetensors", safetensors.torch.save(model().state_dict()))(folder)[0]
    ], weights),
)  # fmt: skip
