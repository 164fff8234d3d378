"""Classifiers in folders as Hugging Face's transformers and timm save them: config.json and model.safetensors.

`hf/PATH` is the network in the folder PATH, relative to where the command runs. Architecture, classes, preprocessing
and weights come from the folder; nothing is downloaded, and no code of it is run.
"""

from __future__ import annotations

import json
import math
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
from conversion.errors import BenchmarkError, CheckpointError, InvalidInput
from tasks.base import Task
from tasks.images.preprocessing import Interpolation, Preprocessing

CONFIG, WEIGHTS, PROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
# Settings by which timm and transformers read other files than those of the folder, or run what is in them.
FETCHING = {
    "checkpoint_path", "cache_dir", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained", "auto_map",
    "use_pretrained_backbone", "trust_remote_code", "backbone", "attn_implementation", "_attn_implementation",
    "_attn_implementation_internal", "experts_implementation", "use_kernels",
}  # fmt: skip
LARGEST_NUMBER = 10**7
"""Classes, layers, channels: what is larger in a configuration is no network's and would be allocated."""
# Pillow's numbers of filters, which transformers writes.
RESAMPLING: Mapping[int, Interpolation] = {2: "bilinear", 3: "bicubic"}


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
        _require_own_files(self.config.get("model_args"), self.folder / CONFIG)
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
    config = _read(folder / CONFIG, name)
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
    told = config.get("pretrained_cfg") or {}
    architecture = config["architecture"]
    timm = imported_timm(name)
    if not isinstance(architecture, str) or not timm.is_model(architecture) or not isinstance(told, dict):
        raise InvalidInput(f"{folder / CONFIG} names the architecture {architecture!r}, which timm does not have.")
    count = config.get("num_classes", told.get("num_classes"))
    labels = config.get("label_names") or told.get("label_names")
    return NETWORKS.derived(
        TimmFolder, name, f"{architecture}, of the folder {folder}.", folder=folder, config=config,
        labels=_labels(folder, count, labels), preprocessing=of_timm_config(name, told), own_weights=folder / WEIGHTS,
        info=NetworkInfo(f"{architecture} of timm, in a folder", licence=told.get("license")),
    )  # fmt: skip


def _of_transformers(name: str, folder: Path, config: dict[str, Any]) -> type[Network]:
    _imported_transformers(name)
    architectures = config.get("architectures")
    made = [
        each
        for each in (architectures if isinstance(architectures, list) else ())
        if str(each).endswith("ForImageClassification")
    ]
    if not made:
        raise InvalidInput(
            f"{folder / CONFIG} describes {config.get('architectures') or 'no architecture'}; networks of image "
            "classification are read, whose names end in ForImageClassification."
        )
    if config.get("model_type") == "timm_wrapper":
        raise InvalidInput(f"{folder / CONFIG} is of a network of timm without its 'architecture'.")
    _require_own_files(config, folder / CONFIG)
    named = config.get("id2label")
    try:
        labels = [named[key] for key in sorted(named, key=int)] if isinstance(named, dict) else None
    except ValueError as error:
        raise InvalidInput(f"{folder / CONFIG} numbers its classes otherwise, in id2label: {error}.") from error
    count = len(labels) if labels else config.get("num_labels", 2)
    return NETWORKS.derived(
        TransformersFolder, name, f"{made[0]}, of the folder {folder}.", folder=folder, config=config,
        labels=_labels(folder, count, labels), preprocessing=_preprocessing(name, _read(folder / PROCESSOR, name)),
        own_weights=folder / WEIGHTS, info=NetworkInfo(f"{made[0]} of transformers, in a folder"),
    )  # fmt: skip


def _labels(folder: Path, count: Any, names: Any) -> tuple[str, ...]:
    if not isinstance(count, int) or count < 1:
        raise InvalidInput(f"{folder / CONFIG} has {count!r} classes; a classifier has at least one.")
    if isinstance(names, list) and len(names) == count:
        return tuple(map(str, names))
    return tuple(map(str, range(count)))


def _preprocessing(name: str, told: dict[str, Any]) -> Preprocessing:
    """The preprocessing in preprocessor_config.json of transformers."""
    try:
        size, crop = _sides(told.get("size")), _sides(told.get("crop_size"))
        resample = int(told.get("resample", 2))
        normalises = told.get("do_normalize", True)
        mean, std = (
            tuple(float(value) for value in told[key]) if normalises else (plain,) * 3
            for key, plain in (("image_mean", 0.0), ("image_std", 1.0))
        )
        factor, share = float(told.get("rescale_factor", 1 / 255)), told.get("crop_pct")
        share = None if share is None else float(share)
        larger = 0 if share is None or len(size) != 1 else math.floor(size[0] / share)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InvalidInput(
            f"The preprocessing of {name} cannot be read: {type(error).__name__}: {error} in its {PROCESSOR}."
        ) from error
    scaled = told.get("do_rescale", True) and math.isclose(factor, 1 / 255, rel_tol=1e-6)
    if resample not in RESAMPLING or not scaled or len(mean) != 3 or not told.get("do_resize", True) or not size:
        raise InvalidInput(
            f"The {PROCESSOR} of {name} resizes or scales in another way than photographs are read here: by a filter "
            "that is bilinear (2) or bicubic (3), to values between 0 and 1."
        )
    squashed = len(size) == 2 and not (told.get("do_center_crop") and crop)
    if share is not None and len(size) == 1:
        # ConvNeXt's: small images by the centre, large ones squashed.
        side = size[0]
        resized, side, squashed = (larger, side, False) if side < 384 else (side, side, True)
    else:
        resized, side = size[0], (crop or size)[0] if told.get("do_center_crop", False) else size[0]
        if len(size) == 1 and not (told.get("do_center_crop") and crop):
            raise InvalidInput(f"The {PROCESSOR} of {name} leaves images of any shape; a network is converted for one.")
    if len({*size[:2]}) > 1 or (crop and len({*crop}) > 1):
        raise InvalidInput(f"The {PROCESSOR} of {name} makes images that are no squares, {size} and {crop}.")
    try:
        return Preprocessing(resized, side, RESAMPLING[resample], mean, std, squash=squashed)
    except ValueError as error:
        raise InvalidInput(f"The preprocessing of {name} has {error}, in its {PROCESSOR}.") from error


def _sides(told: Any) -> tuple[int, ...]:
    """One number for the shorter side, or two for height and width; none where nothing is said."""
    if told is None:
        return ()
    if isinstance(told, dict):
        return (int(told["shortest_edge"]),) if "shortest_edge" in told else (int(told["height"]), int(told["width"]))
    return (int(told), int(told))


def _require_own_files(config: Any, path: Path) -> None:
    """Refuses settings, at any depth, that make a library read other files or run code."""
    if isinstance(config, dict):
        for name, value in config.items():
            plain = value is None or value is False or (isinstance(value, str) and value in ("eager", "sdpa"))
            if name in FETCHING and not plain:
                raise InvalidInput(
                    f"{path} has the setting {name}, which would read other files or run code; neither is done."
                )
            _require_own_files(value, path)
    elif isinstance(config, list):
        for value in config:
            _require_own_files(value, path)


def _require_small(config: Any, path: Path) -> None:
    """Refuses numbers, at any depth, that a library would make so many classes or layers of."""
    if isinstance(config, int) and abs(config) > LARGEST_NUMBER:
        raise InvalidInput(
            f"{path} has a number of {len(str(abs(config)))} digits; networks have at most {LARGEST_NUMBER:,} of "
            "anything."
        )
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _require_small(value, path)


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


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"The folder {path.parent} of network {name} has no {path.name}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds no mapping of settings.")
    try:
        _require_small(content, path)
    except RecursionError as error:
        raise InvalidInput(f"{path} has settings within settings, too deep for any network.") from error
    return content


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
