"""Networks by their names at timm, torchvision and Hugging Face: offline, with the library's own metadata."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import ShuffleNet_V2_X0_5_Weights, get_model

timm = pytest.importorskip("timm", reason="hubs need the extra 'hubs': pip install -e '.[hubs]'")
transformers = pytest.importorskip("transformers", reason="hubs need the extra 'hubs': pip install -e '.[hubs]'")

from adapters import NETWORKS, find_weights, load_weights  # noqa: E402
from adapters.base import Network  # noqa: E402
from adapters.images.base import ImageNetwork  # noqa: E402
from conversion import capture  # noqa: E402
from conversion.errors import CheckpointError, InvalidInput, UnknownName  # noqa: E402
from tasks import TASKS  # noqa: E402
from tasks.images.sized import SizedImages  # noqa: E402

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).resize((400, 300))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be fetched, whatever a library would like to."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def adapter(name: str, task: str = "imagenette") -> ImageNetwork:
    made = NETWORKS[name](TASKS[task]())
    assert isinstance(made, ImageNetwork) and isinstance(made.task, SizedImages)
    return made


def loaded(name: str, weights: Path | None = None) -> tuple[nn.Module, Tensor]:
    """The network with its weights, and the picture as its input."""
    made = adapter(name)
    model = made.build().eval()
    load_weights(model, find_weights(name, "imagenette", weights), made)
    assert isinstance(made.task, SizedImages)
    return model, made.encode(made.task.sized(PICTURE)[None])


@torch.no_grad()
def same(model: nn.Module, inputs: Tensor, wanted: Callable[[], Tensor]) -> None:
    """The captured network gives the scores of the library's own pipeline."""
    torch.testing.assert_close(capture(model, inputs).run(inputs), wanted(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_network_of_timm(tmp_path: Path) -> None:
    """Its input is equal to that of timm's own transform, its weights are found under the names of the hub."""
    own = timm.create_model("test_resnet").eval()
    folder = tmp_path / "test_resnet.r160_in1k"
    folder.mkdir()
    safetensors.torch.save_file(own.state_dict(), folder / "model.safetensors")
    model, inputs = loaded("timm/test_resnet.r160_in1k", tmp_path)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(own))
    assert torch.allclose(inputs[0], transform(PICTURE), atol=1e-6)
    same(model, inputs, lambda: own(transform(PICTURE)[None]))


@pytest.mark.slow
def test_a_network_of_torchvision(tmp_path: Path) -> None:
    own = get_model("shufflenet_v2_x0_5").eval()
    weights = ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    torch.save(own.state_dict(), tmp_path / weights.url.rpartition("/")[2])
    model, inputs = loaded("torchvision/shufflenet_v2_x0_5", tmp_path)
    same(model, inputs, lambda: own(weights.transforms()(PICTURE)[None]))


def saved_by_transformers(folder: Path, **changes: Any) -> Any:
    """A small ResNet of transformers, as `save_pretrained` writes it."""
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=1000
    )
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(folder)
    processor = {
        "do_resize": True, "size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3, "do_normalize": True,
        "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "image_processor_type": "ConvNextImageProcessor",
    } | changes  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return network


@pytest.mark.slow
def test_a_folder_of_transformers(tmp_path: Path) -> None:
    own = saved_by_transformers(tmp_path)
    model, inputs = loaded(f"hf/{tmp_path}")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True)
    given = processor(PICTURE, return_tensors="pt")["pixel_values"]
    # transformers may resize tensors, we read with Pillow: pixels differ by their rounding.
    assert given.shape == inputs.shape and float((given - inputs).abs().mean()) < 0.02
    same(model, inputs, lambda: own(inputs).logits)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "shorter side 73 bicubic, centre 64x64"),
        ({"size": {"shortest_edge": 384}}, "squashed to 384x384 bicubic"),
        ({"crop_pct": None, "size": {"height": 96, "width": 96}, "resample": 2}, "squashed to 96x96 bilinear"),
        ({"crop_pct": None, "size": {"shortest_edge": 80}, "do_center_crop": True, "crop_size": 64},
         "shorter side 80 bicubic, centre 64x64"),
    ],
)  # fmt: skip
def test_the_preprocessing_of_a_folder(changes: dict[str, Any], shown: str, tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, **changes)
    task = adapter(f"hf/{tmp_path}").task
    assert isinstance(task, SizedImages) and str(task.preprocessing).startswith(shown)
    side = int(shown.split()[-1].partition("x")[0]) if "centre" in shown else int(shown.split()[2].partition("x")[0])
    assert task.sized(PICTURE).shape == (3, side, side)


@pytest.mark.slow
def test_a_folder_of_timm(tmp_path: Path) -> None:
    own = timm.create_model("test_vit").eval()
    timm.models.save_for_hf(own, tmp_path, safe_serialization=True)
    model, inputs = loaded(f"hf/{tmp_path}")
    same(model, inputs, lambda: own(inputs))


def test_a_name_is_made_once_and_not_listed(tmp_path: Path) -> None:
    made = NETWORKS["timm/test_resnet.r160_in1k"]
    assert NETWORKS["timm/test_resnet.r160_in1k"] is made and made.name == "timm/test_resnet.r160_in1k"
    assert made.name in NETWORKS and made.name not in list(NETWORKS)
    assert pickle.loads(pickle.dumps(made)) is made
    # What is registered comes first.
    assert NETWORKS["timm/resnet18.a1_in1k"].__module__ == "adapters.images.imagenet_timm"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/resnet18.a9_in1k", r"no classifier of timm called 'timm/resnet18\.a9_in1k'; did you mean timm/resnet18"),
        ("torchvision/shufflnet_v2_x0_5", r"did you mean torchvision/shufflenet_v2_x0_5"),
        ("torchvision/shufflenet_v2_x0_5.v2", r"did you mean torchvision/shufflenet_v2_x0_5\.v1"),
        ("torchvision/fcn_resnet50", "no classifier of torchvision"),
    ],
)
def test_names_that_a_hub_does_not_know(name: str, said: str) -> None:
    with pytest.raises(UnknownName, match=said):
        NETWORKS[name]


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Looked for .*test_resnet\.r160_in1k/model\.safetensors"):
        find_weights("timm/test_resnet.r160_in1k", "imagenette", tmp_path)


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights: model.safetensors is missing"),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json cannot be read"),
        (
            lambda folder: (folder / "config.json").write_text('{"num_classes": 3, "num_classes": 4}'),
            r"config\.json cannot be read: an object has the key 'num_classes' twice",
        ),
        (lambda folder: edited(folder, auto_map={"AutoModel": "evil.Model"}), "the setting auto_map, which would read"),
        (lambda folder: edited(folder, architectures=["BertForMaskedLM"]), "describes .'BertForMaskedLM'."),
        (lambda folder: edited(folder, id2label=None, num_labels=-3), "num_labels is -3; it has to be a number of"),
        (lambda folder: (folder / "preprocessor_config.json").write_text('{"size": 5, "resample": 0}'),
         r"preprocessor_config\.json: it normalises, and image_mean or image_std is missing"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_read(spoil: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    saved_by_transformers(tmp_path)
    spoil(tmp_path)
    with pytest.raises((InvalidInput, CheckpointError), match=said) as caught:
        NETWORKS[f"hf/{tmp_path}"]
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no folder .*/nothing for network hf/"):
        NETWORKS[f"hf/{tmp_path}/nothing"]


def test_what_the_file_does_not_hold_is_not_allocated(tmp_path: Path) -> None:
    """A configuration of a network as large as no memory, beside the weights of a small one."""
    saved_by_transformers(tmp_path)
    edited(tmp_path, hidden_sizes=[8, 2**22])
    with pytest.raises(CheckpointError, match=r"config\.json has .* with shape .*4194304"):
        adapter(f"hf/{tmp_path}").build()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"depths": [1, 10**9]}, "a number of 10 digits"),
        ({"num_labels": 10**12, "id2label": None}, "a number of 13 digits"),
        ({"depths": [1, 10**6]}, "has more parameters than"),
        ({"num_labels": 10**400}, "a number of 401 digits"),
        ({"model_type": "timm_wrapper", "model_args": {"checkpoint_path": "evil.pth"}}, "without its 'architecture'"),
        ({"model_args": {"checkpoint_path": "evil.pth"}}, "the setting checkpoint_path"),
        ({"vision": [{"auto_map": {"AutoModel": "evil.Model"}}]}, "the setting auto_map"),
        ({"attn_implementation": "anyone/kernels"}, "the setting attn_implementation"),
        ({"use_pretrained_backbone": True}, "the setting use_pretrained_backbone"),
        ({"architectures": 5}, "architectures is 5; it has to be a list of names"),
        ({"architectures": None}, "describes no architecture"),
        ({"id2label": {"first": "cat"}}, r"id2label is \{'first': 'cat'\}; it has to be an object with"),
        ({"id2label": {"0": "cat", "2": "dog"}}, "id2label has names of 2 classes, and not of 0 to 1"),
    ],
)  # fmt: skip
def test_settings_that_fetch_run_or_fill_the_memory(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved_by_transformers(tmp_path)
    edited(tmp_path, **config)
    with pytest.raises((InvalidInput, CheckpointError), match=said):
        adapter(f"hf/{tmp_path}").build()


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_pct": 0}, {"crop_pct": "wide"}, {"crop_pct": float("nan")}, {"crop_pct": 1e-6}, {"image_std": [0, 1, 1]},
        {"image_mean": [float("nan")] * 3}, {"size": {"shortest_edge": -1}}, {"size": {"shortest_edge": 10**6}},
    ],
    ids=str,
)  # fmt: skip
def test_preprocessing_that_makes_no_pixels(changes: dict[str, Any], tmp_path: Path) -> None:
    saved_by_transformers(tmp_path, **changes)
    with pytest.raises(InvalidInput, match=r"[Tt]he preprocessing of hf/"):
        NETWORKS[f"hf/{tmp_path}"]


def test_folders_fit_tasks_of_their_classes(tmp_path: Path) -> None:
    saved_by_transformers(tmp_path)
    kind: type[Network] = NETWORKS[f"hf/{tmp_path}"]
    assert kind.fits(TASKS["imagenette"]()) is None
    assert "it is for image classification" in str(kind.fits(TASKS["mini_points"]()))
    names = TASKS["imagenette"]().classes
    reverse = "its classes are those of the task in another order: class 0 is"
    for labels, said in ((names[1:], "tells 999 classes apart"), (names[::-1], reverse)):
        other = tmp_path / str(len(labels)) / labels[0]
        saved_by_transformers(other)
        edited(other, id2label=dict(enumerate(labels)))
        assert said in str(NETWORKS[f"hf/{other}"].fits(TASKS["imagenette"]()))
