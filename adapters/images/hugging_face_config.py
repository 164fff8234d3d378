"""The settings in a folder of Hugging Face: config.json of timm or transformers, preprocessor_config.json.

They are anyone's. A setting that makes a library read other files or run code is refused at any depth, and so is a
number that no network has of anything; what we read ourselves is typed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from conversion.errors import InvalidInput
from tasks.images.preprocessing import Interpolation, Preprocessing
from tasks.typed import Number, Positive, Record, Whole, unique_keys

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
# Settings by which timm and transformers read other files than those of the folder, or run what is in them.
FETCHING = {
    "checkpoint_path", "cache_dir", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained", "auto_map",
    "use_pretrained_backbone", "trust_remote_code", "backbone", "attn_implementation", "_attn_implementation",
    "_attn_implementation_internal", "experts_implementation", "use_kernels",
}  # fmt: skip
LARGEST_NUMBER = 10**7
"""Classes, layers, channels: what is larger in a configuration is no network's and would be allocated."""
# Pillow's numbers of filters, which transformers writes.
RESAMPLING: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
SIZES = "a number of pixels, or an object with shortest_edge, or with height and width"
Three = Annotated[list[Number], Field(min_length=3, max_length=3)]


class Pretrained(Record):
    """timm's description of weights, as far as it says what the classes are."""

    num_classes: Positive | None = Field(default=None, description="a number of classes, at least 1")
    label_names: list[str] | None = Field(default=None, description="a list of names")
    license: str | None = Field(default=None, description="a name")


class TimmConfig(Record):
    """The config.json that timm saves."""

    architecture: str = Field(description="the name of a network of timm")
    num_classes: Positive | None = Field(default=None, description="a number of classes, at least 1")
    label_names: list[str] | None = Field(default=None, description="a list of names")
    pretrained_cfg: Pretrained | None = Field(default=None, description="an object")
    model_args: dict[str, Any] | None = Field(default=None, description="an object")

    def labels(self) -> tuple[str, ...] | None:
        """The classes in their order, numbers where they have no names; None where nothing says how many there are."""
        told = self.pretrained_cfg or Pretrained()
        count = told.num_classes if self.num_classes is None else self.num_classes
        names = self.label_names or told.label_names or []
        return None if count is None else tuple(names if len(names) == count else map(str, range(count)))


class TransformersConfig(Record):
    """The config.json that transformers saves."""

    model_type: str = Field(description="the name of a kind of network")
    architectures: list[str] | None = Field(default=None, description="a list of names")
    id2label: dict[Annotated[str, StringConstraints(pattern="^[0-9]{1,9}$")], str | int] | None = Field(
        None, description="an object with the name of each class under its number"
    )
    num_labels: Positive = Field(default=2, description="a number of classes, at least 1")

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        numbers = sorted(map(int, self.id2label or {}))
        if numbers != list(range(len(numbers))):
            raise ValueError(f"id2label has names of {len(numbers)} classes, and not of 0 to {len(numbers) - 1}")
        return self

    def labels(self) -> tuple[str, ...]:
        """The classes in their order, numbers where they have no names."""
        named = self.id2label
        if not named:
            return tuple(map(str, range(self.num_labels)))
        return tuple(str(named[key]) for key in sorted(named, key=int))


class Sides(Record):
    """The size of an image: its shorter side, or both."""

    shortest_edge: Positive | None = Field(default=None, description="a number of pixels")
    height: Positive | None = Field(default=None, description="a number of pixels")
    width: Positive | None = Field(default=None, description="a number of pixels")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.shortest_edge is None and (self.height is None or self.width is None):
            raise ValueError("has neither shortest_edge nor height and width")
        return self

    def numbers(self) -> tuple[int, ...]:
        """One number for the shorter side, or two for height and width."""
        if self.shortest_edge is not None:
            return (self.shortest_edge,)
        assert self.height is not None and self.width is not None  # `_complete` says so.
        return (self.height, self.width)


class Processor(Record):
    """The preprocessor_config.json of transformers: what is done with a photograph before the network."""

    size: Sides | Positive | None = Field(default=None, description=SIZES)
    crop_size: Sides | Positive | None = Field(default=None, description=SIZES)
    resample: Whole = Field(default=2, description="the number of a filter of Pillow")
    image_mean: Three | None = Field(default=None, description="three numbers")
    image_std: Three | None = Field(default=None, description="three numbers")
    rescale_factor: Number = Field(default=1 / 255, description="a number")
    crop_pct: Annotated[Number, Field(gt=0)] | None = Field(default=None, description="a number above 0")
    do_normalize: bool | None = Field(default=True, description="true or false")
    do_rescale: bool | None = Field(default=True, description="true or false")
    do_resize: bool | None = Field(default=True, description="true or false")
    do_center_crop: bool | None = Field(default=False, description="true or false")

    @model_validator(mode="after")
    def _normalises(self) -> Self:
        if self.do_normalize and (self.image_mean is None or self.image_std is None):
            raise ValueError("it normalises, and image_mean or image_std is missing")
        return self

    def preprocessing(self, name: str) -> Preprocessing:
        """The same for photographs as they are read here.

        Args:
            name: the network for the error message.

        Raises:
            InvalidInput: it resizes or scales in another way.
        """
        size, crop = _numbers(self.size), _numbers(self.crop_size)
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else (None, None)
        scaled = self.do_rescale and math.isclose(self.rescale_factor, 1 / 255, rel_tol=1e-6)
        if self.resample not in RESAMPLING or not scaled or not self.do_resize or not size:
            raise InvalidInput(
                f"The {PROCESSOR} of {name} resizes or scales in another way than photographs are read here: by a "
                "filter that is bilinear (2) or bicubic (3), to values between 0 and 1."
            )
        squashed = len(size) == 2 and not (self.do_center_crop and crop)
        if self.crop_pct is not None and len(size) == 1:
            # ConvNeXt's: small images by the centre, large ones squashed.
            side = size[0]
            squashed = side >= 384
            resized = side if squashed else math.floor(side / self.crop_pct)
        else:
            resized, side = size[0], (crop or size)[0] if self.do_center_crop else size[0]
            if len(size) == 1 and not (self.do_center_crop and crop):
                raise InvalidInput(
                    f"The {PROCESSOR} of {name} leaves images of any shape; a network is converted for one."
                )
        if len({*size}) > 1 or len({*crop}) > 1:
            raise InvalidInput(f"The {PROCESSOR} of {name} makes images that are no squares, {size} and {crop}.")
        try:
            return Preprocessing(
                resized, side, RESAMPLING[self.resample], tuple(mean or (0.0,) * 3), tuple(std or (1.0,) * 3),
                squash=squashed,
            )  # fmt: skip
        except ValueError as error:
            raise InvalidInput(f"The preprocessing of {name} has {error}, in its {PROCESSOR}.") from error


def _numbers(told: Sides | int | None) -> tuple[int, ...]:
    if told is None:
        return ()
    return (told, told) if isinstance(told, int) else told.numbers()


def read_settings(path: Path, name: str) -> dict[str, Any]:
    """The settings in a file of a network's folder.

    Raises:
        InvalidInput: the file is missing or no mapping, gives a key twice, or has larger numbers than any network.
    """
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
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


def require_own_files(config: Any, path: Path) -> None:
    """Refuses settings, at any depth, that make a library read other files or run code."""
    if isinstance(config, dict):
        for name, value in config.items():
            plain = value is None or value is False or (isinstance(value, str) and value in ("eager", "sdpa"))
            if name in FETCHING and not plain:
                raise InvalidInput(
                    f"{path} has the setting {name}, which would read other files or run code; neither is done."
                )
            require_own_files(value, path)
    elif isinstance(config, list):
        for value in config:
            require_own_files(value, path)


def _require_small(config: Any, path: Path) -> None:
    """Refuses numbers, at any depth, that a library would make so many classes or layers of."""
    if isinstance(config, int) and abs(config) > LARGEST_NUMBER:
        raise InvalidInput(
            f"{path} has a number of {len(str(abs(config)))} digits; networks have at most {LARGEST_NUMBER:,} of "
            "anything."
        )
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _require_small(value, path)
