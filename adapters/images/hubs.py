"""Classifiers of torchvision and timm by their names there; the library says architecture, preprocessing and files.

A network is made when its name is first asked for: `timm/convnext_atto.d2_in1k`, `torchvision/efficientnet_b0`. Weights
are looked for on disk under their publisher's names, and nothing is downloaded.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torchvision
from pydantic import Field
from torch import nn
from torchvision import models
from torchvision.models import get_model_weights

from adapters.base import NETWORKS, Network, NetworkInfo
from adapters.images.imagenet import PhotographNetwork, TorchvisionClassifier, TorchvisionTransformer, published
from conversion.errors import InvalidInput, UnknownName
from tasks.base import Task
from tasks.images.preprocessing import Interpolation, Preprocessing
from tasks.images.sized import SizedImages
from tasks.typed import Number, Positive, Record

RESIZING: dict[str, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic"}
Three = Annotated[tuple[Number, Number, Number], Field(strict=False)]


class PretrainedCfg(Record):
    """timm's description of weights, as far as it says how photographs are read."""

    input_size: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)] = Field(
        description="channels, height and width"
    )
    crop_pct: Annotated[Number, Field(gt=0, le=1)] = Field(description="a number above 0, at most 1")
    mean: Three = Field(description="three numbers")
    std: Three = Field(description="three numbers")
    interpolation: str = Field(description="the name of a filter")
    crop_mode: str | None = Field(default=None, description="the name of a way to cut")


class HubClassifier(PhotographNetwork):
    """A classifier that a library knows by its name; photographs are read in the size that it was trained for."""

    @classmethod
    def fits(cls, task: Task) -> str | None:
        misfit = super(PhotographNetwork, cls).fits(task)
        if misfit is None and isinstance(task, SizedImages) and task.preprocessing is not None:
            return None  # Its photographs are read through any network's preprocessing.
        return super().fits(task)


class TimmClassifier(HubClassifier):
    """A classifier of timm."""

    architecture: ClassVar[str]
    """timm's name of it, without that of its weights."""
    arguments: ClassVar[dict[str, Any]] = {}

    def build(self) -> nn.Module:
        timm = imported_timm(self.name)
        network: nn.Module = timm.create_model(
            self.architecture, pretrained=False, num_classes=len(self.task.classes), **self.arguments
        )
        return network


class TorchvisionHub(HubClassifier, TorchvisionClassifier):
    """A classifier of torchvision."""


class TorchvisionHubTransformer(HubClassifier, TorchvisionTransformer):
    """A vision transformer of torchvision."""


@NETWORKS.resolver("torchvision/")
def of_torchvision(name: str) -> type[Network]:
    """The network of a name such as torchvision/regnet_y_400mf, or torchvision/regnet_y_400mf.v2 for second weights.

    Raises:
        UnknownName: torchvision has no such classifier, or not these weights.
    """
    known = models.list_models(module=torchvision.models)
    architecture, _, version = name.removeprefix("torchvision/").partition(".")
    if architecture not in known:
        raise UnknownName("classifier of torchvision", name, (f"torchvision/{each}" for each in known))
    weights = {each.name.lower(): each for each in get_model_weights(architecture)}
    wanted = f"imagenet1k_{version or 'v1'}"
    chosen = weights.get(wanted) or (None if version else next(iter(weights.values())))
    if chosen is None:
        versions = (f"torchvision/{architecture}.{each.removeprefix('imagenet1k_')}" for each in weights)
        raise UnknownName("network", name, versions)
    base = TorchvisionHubTransformer if architecture.startswith("vit_") else TorchvisionHub
    return NETWORKS.derived(
        base, name, f"{architecture}, weights {chosen.name}.", architecture=architecture,
        preprocessing=Preprocessing.of(chosen),
        info=published(architecture, f"torchvision's {architecture}, weights {chosen.name}", None, chosen),
    )  # fmt: skip


@NETWORKS.resolver("timm/")
def of_timm(name: str) -> type[Network]:
    """The network of a name such as timm/resnet50.a1_in1k; without the name of weights it is timm's own choice.

    Raises:
        UnknownName: timm has no such classifier.
        InvalidInput: timm is not installed, or the network's preprocessing is none that photographs are read through.
    """
    timm = imported_timm(name)
    own = name.removeprefix("timm/")
    try:
        config = timm.get_pretrained_cfg(own) if timm.is_model(own) else None
    except RuntimeError:  # Of names of weights that it does not have.
        config = None
    if config is None:
        raise UnknownName("classifier of timm", name, (f"timm/{each}" for each in timm.list_pretrained()))
    told = config.to_dict()
    full = f"{config.architecture}.{config.tag}" if config.tag else config.architecture
    files = [str(told["url"]).rpartition("/")[2]] if told.get("url") else []
    files += [f"{full}/model.safetensors", f"timm/{full}/model.safetensors"]
    files.append(f"models--timm--{full}/snapshots/*/model.safetensors")
    info = NetworkInfo(
        f"timm's {config.architecture}, weights {config.tag or 'of its authors'}",
        homepage=f"https://huggingface.co/{told['hf_hub_id']}" if told.get("hf_hub_id") else told.get("origin_url"),
        licence=told.get("license"),
        files={"imagenet": tuple(files)} if told.get("num_classes") == 1000 else {},
    )
    return NETWORKS.derived(
        TimmClassifier, name, f"{full}.", architecture=config.architecture, preprocessing=of_timm_config(name, told),
        info=info,
    )  # fmt: skip


def of_timm_config(name: str, told: dict[str, Any]) -> Preprocessing:
    """The preprocessing in timm's description of a network (`pretrained_cfg`).

    Raises:
        InvalidInput: it cuts or resizes in another way than photographs are read here, or is incomplete.
    """
    read = PretrainedCfg.of(told, f"The preprocessing of {name}, pretrained_cfg")
    channels, height, width = read.input_size
    interpolation, mode = read.interpolation, read.crop_mode or "center"
    if channels != 3 or height != width or interpolation not in RESIZING or mode not in ("center", "squash"):
        raise InvalidInput(
            f"The network {name} takes inputs of {channels}x{height}x{width} through '{interpolation}' and '{mode}'; "
            "photographs are read as squares of three channels, bilinear or bicubic, by their centre or squashed."
        )
    try:
        return Preprocessing(
            math.floor(height / read.crop_pct), height, RESIZING[interpolation], tuple(read.mean), tuple(read.std),
            squash=mode == "squash",
        )  # fmt: skip
    except ValueError as error:
        raise InvalidInput(f"The preprocessing of {name} has {error}, in its pretrained_cfg.") from error


def imported_timm(name: str) -> Any:
    """The module timm.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise InvalidInput(
            f"The network {name} needs timm, which is not installed: pip install -e '.[hubs]'."
        ) from error
    return timm
