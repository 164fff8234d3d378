"""Networks in ONNX and NIR, and settings of networks in folders of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import torch
from torch import nn

from adapters.images.hubs import of_timm_config
from adapters.images.hugging_face_config import (
    CONFIG,
    PROCESSOR,
    Processor,
    TimmConfig,
    TransformersConfig,
    read_settings,
    require_own_files,
)
from conversion import capture, convert
from conversion.exchange.nir_export import export_nir
from conversion.exchange.nir_import import import_nir
from tests.conversion.capture.onnx.files import listed_places, small_convnet
from tests.conversion.capture.onnx.files import written as onnx_file
from tests.fuzz.foreign.parser import Parser, written


def networks(folder: Path) -> list[Path]:
    """Networks as ONNX files, for any batch and for one, and one of operators with lists, scales and places."""
    made = {"n": small_convnet("n"), "1": small_convnet(1), "listed": listed_places()}
    return [onnx_file(folder, model, f"{name}.onnx") for name, model in made.items()]


def spiking(folder: Path) -> list[Path]:
    """A spiking network as a file of NIR."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    samples = torch.rand(4, 1, 4, 4)
    nir.write(folder / "a.nir", export_nir(convert(capture(model.eval(), samples), samples, "calibration", T=4)))
    return [folder / "a.nir"]


TRANSFORMERS = {
    "model_type": "resnet", "architectures": ["ResNetForImageClassification"], "depths": [1, 2],
    "id2label": {"0": "cat", "1": "dog"}, "num_labels": 2, "problem_type": None,
}  # fmt: skip
WEIGHTS = {
    "input_size": [3, 64, 64], "crop_pct": 0.9, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4],
    "interpolation": "bicubic", "crop_mode": "center", "num_classes": 2, "label_names": ["cat", "dog"],
}  # fmt: skip
TIMM = {"architecture": "resnet18", "num_classes": 2, "model_args": {"drop_rate": 0.1}, "pretrained_cfg": WEIGHTS}
PROCESSORS = (
    {"size": {"shortest_edge": 64}, "crop_pct": 0.875, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]},
    {"size": {"height": 96, "width": 96}, "resample": 3, "do_normalize": False, "rescale_factor": 0.00392156862745098},
    {"size": 80, "do_center_crop": True, "crop_size": 64, "do_normalize": None},
)


def transformers(path: Path) -> object:
    config = read_settings(path, "hf/fuzzed")
    require_own_files(config, path)
    return TransformersConfig.of(config, str(path)).labels()


def timm(path: Path) -> object:
    config = read_settings(path, "hf/fuzzed")
    told = TimmConfig.of(config, str(path))
    return told.labels(), of_timm_config(f"hf/{path}", config.get("pretrained_cfg") or {})


def processor(path: Path) -> object:
    return Processor.of(read_settings(path, "hf/fuzzed"), str(path)).preprocessing(f"hf/{path}")


PARSERS: tuple[Parser, ...] = (
    Parser("onnx", "a.onnx", networks, capture),
    Parser("nir", "a.nir", spiking, import_nir),
    Parser("transformers", CONFIG, written(CONFIG, json.dumps(TRANSFORMERS)), transformers),
    Parser("timm", CONFIG, written(CONFIG, json.dumps(TIMM)), timm),
    Parser("processor", PROCESSOR, written(PROCESSOR, *map(json.dumps, PROCESSORS)), processor),
)  # fmt: skip
