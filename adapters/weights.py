"""Trained weights: finding, reading, checking and writing them.

Nothing is unpickled: files are safetensors, or torch files of which tensors alone are taken (`adapters.foreign`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from adapters.base import NETWORKS, Network
from adapters.foreign import read_state
from adapters.pickles import Damaged
from conversion.errors import CheckpointError, InvalidInput
from conversion.files import write_atomically
from tasks.base import TASKS, Task

SHIPPED = Path(__file__).parent / "checkpoints"
AUXILIARY = "aux_classifier."
SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".pth.tar")
HASHED = re.compile(r"-([0-9a-f]{8})\.pth$")


def find_weights(network: str, task: str, directory: Path | None) -> Path:
    """Finds the weights of a network trained on a task.

    Args:
        network: name of the network; the part before a slash may be left out of names of files.
        task: name of the task.
        directory: the user's folder, searched first, before the checkpoints shipped with this package and, for
            published weights, torch's cache of them.

    Raises:
        CheckpointError: when there are none; names files and folders that were searched, and the command to train them.
    """
    if (bundled := NETWORKS[network].own_weights) is not None:
        return bundled
    plain = network.rpartition("/")[2]
    own = [f"{name}_{task}{suffix}" for name in dict.fromkeys((network, plain)) for suffix in SUFFIXES]
    published = published_files(network, TASKS[task])
    places: list[tuple[Path, Sequence[str]]] = [(directory, [*own, *published])] if directory is not None else []
    places += [(SHIPPED, own[:1])] + ([(cache(), published)] if published else [])
    for folder, patterns in places:
        found = _first(folder, patterns)
        if found is not None:
            return found
    folders = " and ".join(str(folder) for folder, _ in places)
    searched = folders if directory is not None else f"{folders} (no --weights folder was given)"
    held = _held(directory, TASKS[task]) if directory is not None and published else []
    elsewhere = f" {directory} holds {', '.join(held)}, which are other weights." if held else ""
    page = f" ({homepage})" if (homepage := NETWORKS[network].info.homepage) else ""
    remedy = (
        f"Put the published file {published[0]}{page} into the folder of --weights, or train" if published else "Train"
    )
    raise CheckpointError(
        f"There are no weights of {network} for {task}. Looked for {', '.join([*own, *published])} in {searched}."
        f"{elsewhere} {remedy} them: python run_all.py train --task {task} --network {network} --data-root DATA "
        "--weights DIR, then pass the same DIR."
    )


def cache() -> Path:
    """The folder in which torch keeps weights that were downloaded with it."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def published_files(network: str, task: Task | type[Task]) -> tuple[str, ...]:
    """The names, as globs, under which weights of a network for a task are published; none where they are not."""
    return NETWORKS[network].info.published(task.label_set, network.rpartition("/")[2])


def _held(directory: Path, task: type[Task]) -> list[str]:
    """The published weights for a task that a folder holds, each with its network."""
    found = ((name, _first(directory, published_files(name, task))) for name in NETWORKS)
    return [f"{path.name} of {name}" for name, path in found if path is not None]


def _first(folder: Path, patterns: Iterable[str]) -> Path | None:
    """The first file by pattern, then by name."""
    return next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)


def load_weights(model: nn.Module, path: Path, adapter: Network | None = None) -> str:
    """Copies the weights in `path` into `model`; a file that does not fit leaves the model as it was.

    Wrappers ({"state_dict": ...}, {"model": ...}), whole networks as ultralytics saves them and the "module." prefix of
    data-parallel training are unwrapped; of a network its tensors are taken, and nothing that it names is imported.
    Auxiliary heads, which only training uses, are ignored unless the network has one. Batch norms may lack
    `num_batches_tracked`, which inference does not use.

    Args:
        model: receives the weights.
        path: the file.
        adapter: the network that built the model: weights of another network are then refused by its name.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        CheckpointError: when the file is missing, unreadable, does not fit or holds values that are not finite; names
            the first tensor at fault.
    """
    expected = model.state_dict()
    weights, digest = _read(path)
    if adapter is not None:
        _refuse_those_of_others(adapter, digest, path)
    if not any(name.startswith("module.") for name in expected):
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
    if not any(name.startswith(AUXILIARY) for name in expected):
        weights = {name: value for name, value in weights.items() if not name.startswith(AUXILIARY)}
    try:
        _check_fit(weights, expected, path)
    except CheckpointError as error:
        owner = _owner(adapter, weights) if adapter is not None else None
        raise CheckpointError(f"{error} It holds weights of {owner}." if owner else str(error)) from error
    model.load_state_dict(weights, strict=False)  # What may be missing was decided by _check_fit.
    return digest


def _refuse_those_of_others(adapter: Network, digest: str, path: Path) -> None:
    """Raises CheckpointError for a file that is published for another network, whatever it is called here.

    Names of torchvision's and timm's files end in the beginning of their SHA-256.
    """
    known = {
        found[1]: name
        for name in NETWORKS
        for file in published_files(name, adapter.task)
        if (found := HASHED.search(file))
    }
    owner = known.get(digest[:8], adapter.name)
    if owner != adapter.name:
        raise CheckpointError(
            f"The checkpoint {path} is published for network {owner}, whose training and preprocessing are others than "
            f"those of {adapter.name}; measure that network, or take the weights of this one."
        )


def _owner(adapter: Network, weights: Mapping[str, Tensor]) -> str | None:
    """Another network for the same task whose tensors have these names and shapes."""
    given = {name: value.shape for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    for name in NETWORKS:
        if name == adapter.name or NETWORKS[name].fits(adapter.task) is not None:
            continue
        try:
            with torch.device("meta"):
                expected = NETWORKS[name](adapter.task).build().state_dict()
        except Exception:  # A network that cannot be built without data explains nothing.
            continue
        if {key: value.shape for key, value in expected.items() if not key.endswith("num_batches_tracked")} == given:
            return name
    return None


def load_backbone(model: nn.Module, network: type[Network], path: Path) -> str:
    """Copies pretrained weights of another network into the backbone of `model`; the rest stays as it was.

    Every weight of the backbone has to be in the file, and the file may hold nothing else but the heads that the
    network's `backbone` names.

    Returns:
        SHA-256 of the file, hexadecimal.

    Raises:
        InvalidInput: the network takes no pretrained backbone.
        CheckpointError: as `load_weights`; tensors are named as in the file.
    """
    backbone = network.backbone
    if backbone is None:
        others = ", ".join(name for name in NETWORKS if NETWORKS[name].backbone is not None)
        raise InvalidInput(f"Network {network.name} takes no pretrained backbone; those that do are {others}.")
    weights, digest = _read(path)
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    weights = {name: value for name, value in weights.items() if not name.startswith(backbone.heads)}
    here, there = model.state_dict(), {own: given for given, own in backbone.names.items()}
    own_names = {given: name for name in here if (given := _renamed(name, there)) is not None}
    expected = {given: here[name] for given, name in own_names.items() if not given.startswith(backbone.heads)}
    try:
        _check_fit(weights, expected, path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} The backbone of {network.name} takes {backbone.source}.") from error
    model.load_state_dict({own_names[given]: value for given, value in weights.items()}, strict=False)
    return digest


def save_weights(path: Path, weights: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
    """Writes a safetensors file whole or not at all, the same bytes for the same weights and provenance.

    Provenance is one JSON entry of the metadata: safetensors orders several entries differently in every process.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    metadata = {"provenance": json.dumps(provenance, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def _renamed(name: str, prefixes: Mapping[str, str]) -> str | None:
    """A name whose longest known beginning is replaced; None where it begins with none."""
    known = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default=None)
    return None if known is None else prefixes[known] + name.removeprefix(known)


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors in a file by name, and the SHA-256 of the file, hexadecimal."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    return _parse(content, path), hashlib.sha256(content).hexdigest()


def _parse(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content) if path.suffix == ".safetensors" else read_state(content)
    except (safetensors.SafetensorError, KeyError, Damaged) as error:  # A KeyError is a type that torch does not have.
        raise CheckpointError(f"The checkpoint {path} is damaged or no weights file: {error}.") from error
    except InvalidInput as error:
        raise CheckpointError(f"The checkpoint {path} {error}") from error


def _check_fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    for name, wanted in expected.items():
        if name not in weights:
            if name.endswith("num_batches_tracked"):
                continue
            raise CheckpointError(
                f"The checkpoint {path} lacks {name}, which the network has with shape {tuple(wanted.shape)}."
            )
        given = weights[name]
        if given.shape != wanted.shape:
            raise CheckpointError(
                f"The checkpoint {path} holds {name} with shape {tuple(given.shape)}; "
                f"the network has it with shape {tuple(wanted.shape)}."
            )
        if given.is_floating_point() != wanted.is_floating_point():
            raise CheckpointError(
                f"The checkpoint {path} holds {name} as {given.dtype}; the network has it as {wanted.dtype}."
            )
        if not given.isfinite().all():
            raise CheckpointError(f"The checkpoint {path} holds values that are not finite in {name}.")
    for name, given in weights.items():
        if name not in expected:
            raise CheckpointError(
                f"The checkpoint {path} holds {name} with shape {tuple(given.shape)}, which the network does not have."
            )
