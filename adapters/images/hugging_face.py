"""Classifiers in folders as Hugging Face's transformers and timm save them: config.json and model.safetensors.

`hf/PATH` is the network in the folder PATH, relative to where the command runs. Architecture, classes, preprocessing
and weights come from the folder; nothing is downloaded, and no code of it is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import safetensors
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from adapters.base import NETWORKS, Network, NetworkInfo
from adapters.images.hubs import HubClassifier, imported_timm, of_timm_config
from adapters.images.hugging_face_config import (
    CONFIG,
    PROCESSOR,
    Processor,
    TimmConfig,
    TransformersConfig,
    read_settings,
    require_own_files,
)
from conversion.errors import BenchmarkError, CheckpointError, InvalidInput
from tasks.base import Task

WEIGHTS = "model.safetensors"


class FolderClassifier(HubClassifier):
    """The classifier in a folder."""

    folder: ClassVar[Path]
    config: ClassVar[dict[str, Any]]
    labels: ClassVar[Sequence[str]]
    """Its classes in their order; names that the folder does not give are numbers."""

    @classmethod
    def fits(cls, task: Task) -> str | None:
        misfit = super().fits(task)
        if misfit is None and len(task.classes) != len(cls.labels):
            return cls.misfit(task, f"it tells {len(cls.labels)} classes apart, and the task has {len(task.classes)}")
        ours, theirs = ([name.lower().strip() for name in names] for names in (task.classes, cls.labels))
        if misfit is None and ours != theirs and sorted(ours) == sorted(theirs):
            first = next(at for at, (own, other) in enumerate(zip(ours, theirs, strict=True)) if own != other)
            order = f"class {first} is '{cls.labels[first]}' in its {CONFIG}, and '{task.classes[first]}' in the task"
            return cls.misfit(task, f"its classes are those of the task in another order: {order}")
        return misfit

    def build(self) -> nn.Module:
        try:
            with torch.device("meta"), _at_most(self.folder / WEIGHTS):
                shapes = {name: tuple(value.shape) for name, value in self._made().state_dict().items()}
            # What the file does not hold is not allocated either.
            _check_shapes(self.folder / WEIGHTS, shapes)
            return self._made()
        except BenchmarkError:
            raise
        except Exception as error:  # Whatever a library makes of a configuration.
            said = next(iter(str(error).strip().splitlines()), "no reason given")
            raise InvalidInput(
                f"The network that {self.folder / CONFIG} describes cannot be built: {type(error).__name__}: {said}"
            ) from error

    def _made(self) -> nn.Module:
        raise NotImplementedError


class TimmFolder(FolderClassifier):
    """The classifier in a folder that timm saved (`timm.models.save_for_hf`)."""

    def _made(self) -> nn.Module:
        timm = imported_timm(self.name)
        arguments = {**(self.config.get("model_args") or {}), "num_classes": len(self.labels), "pretrained": False}
        require_own_files(self.config.get("model_args"), self.folder / CONFIG)
        network: nn.Module = timm.create_model(self.config["architecture"], **arguments)
        return network


class TransformersFolder(FolderClassifier):
    """The classifier in a folder that transformers saved (`save_pretrained`)."""

    def _made(self) -> nn.Module:
        transformers = _imported_transformers(self.name)
        with _offline():
            config = transformers.AutoConfig.from_pretrained(self.folder, local_files_only=True)
            network = transformers.AutoModelForImageClassification.from_config(config)
        return Logits(network)


class Logits(nn.Module):
    """A network of transformers that returns its class scores alone, under the network's own names of weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_state_dict_post_hook(_without_prefix)
        self.register_load_state_dict_pre_hook(_with_prefix)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, shape (N, classes), of images of shape (N, 3, H, W)."""
        scores: Tensor = self.network(pixel_values=x, return_dict=True).logits
        return scores


def _without_prefix(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}network.")]:
        state[prefix + name.removeprefix(f"{prefix}network.")] = state.pop(name)


def _with_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[f"{prefix}network.{name.removeprefix(prefix)}"] = state.pop(name)


@NETWORKS.resolver("hf/")
def of_folder(name: str) -> type[Network]:
    """The network in a folder.

    Raises:
        InvalidInput: there is no such folder, its configuration is not one of an image classifier, or its library is
            not installed.
        CheckpointError: it has no weights in one safetensors file.
    """
    folder = Path(name.removeprefix("hf/")).expanduser()
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder} for network {name}; hf/PATH is one with {CONFIG} in it.")
    config = read_settings(folder / CONFIG, name)
    if not (folder / WEIGHTS).is_file():
        held = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file())) or "nothing"
        raise CheckpointError(
            f"The folder {folder} of network {name} has no weights: {WEIGHTS} is missing, and it holds {held}. Nothing "
            "is downloaded; copy the file there, or save the network again with safe_serialization, in one file."
        )
    if "architecture" in config:
        return _of_timm(name, folder, config)
    if "model_type" in config:
        return _of_transformers(name, folder, config)
    raise InvalidInput(
        f"{folder / CONFIG} is neither timm's, with an 'architecture', nor transformers', with a 'model_type'."
    )


def _of_timm(name: str, folder: Path, config: dict[str, Any]) -> type[Network]:
    path = folder / CONFIG
    told = TimmConfig.of(config, str(path))
    timm = imported_timm(name)
    if not timm.is_model(told.architecture):
        raise InvalidInput(f"{path} names the architecture {told.architecture!r}, which timm does not have.")
    labels = told.labels()
    if labels is None:
        raise InvalidInput(f"{path} does not say how many classes there are; it needs num_classes.")
    weights = config.get("pretrained_cfg") or {}
    return NETWORKS.derived(
        TimmFolder, name, f"{told.architecture}, of the folder {folder}.", folder=folder, config=config, labels=labels,
        preprocessing=of_timm_config(name, weights), own_weights=folder / WEIGHTS,
        info=NetworkInfo(f"{told.architecture} of timm, in a folder", licence=weights.get("license")),
    )  # fmt: skip


def _of_transformers(name: str, folder: Path, config: dict[str, Any]) -> type[Network]:
    _imported_transformers(name)
    path = folder / CONFIG
    told = TransformersConfig.of(config, str(path))
    made = [each for each in told.architectures or () if each.endswith("ForImageClassification")]
    if not made:
        raise InvalidInput(
            f"{path} describes {told.architectures or 'no architecture'}; networks of image classification are read, "
            "whose names end in ForImageClassification."
        )
    if told.model_type == "timm_wrapper":
        raise InvalidInput(f"{path} is of a network of timm without its 'architecture'.")
    require_own_files(config, path)
    processor = Processor.of(read_settings(folder / PROCESSOR, name), f"The preprocessing of {name}, {PROCESSOR}")
    return NETWORKS.derived(
        TransformersFolder, name, f"{made[0]}, of the folder {folder}.", folder=folder, config=config,
        labels=told.labels(), preprocessing=processor.preprocessing(name), own_weights=folder / WEIGHTS,
        info=NetworkInfo(f"{made[0]} of transformers, in a folder"),
    )  # fmt: skip


@contextmanager
def _at_most(path: Path) -> Iterator[None]:
    """Ends the construction of a network with many more parameters than a file has: a number may claim any depth."""
    most, made = 2 * len(_stored(path)) + 16, 0

    def count(*_: Any) -> None:
        nonlocal made
        made += 1
        if made > most:
            raise CheckpointError(f"The network of {path.parent / CONFIG} has more parameters than {path} holds.")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _stored(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a file, from its header."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"The checkpoint {path} is damaged or no weights file: {error}.") from error


def _check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises CheckpointError if a tensor of the network is not in a file, or of another shape."""
    stored = _stored(path)
    for name, shape in shapes.items():
        if stored.get(name, shape) != shape or (name not in stored and not name.endswith("num_batches_tracked")):
            has = f"has it with shape {stored[name]}" if name in stored else "lacks it"
            raise CheckpointError(f"The network of {path.parent / CONFIG} has {name} with shape {shape}; {path} {has}.")


@contextmanager
def _offline() -> Iterator[None]:
    """Keeps libraries from fetching what a configuration names."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _imported_transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise InvalidInput(
            f"The network {name} needs transformers, which is not installed: pip install -e '.[hubs]'."
        ) from error
    return transformers
