"""Checkpoints: where they are found, what is accepted, and what each refusal says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from adapters import NETWORKS, find_weights, load_weights
from adapters.weights import SHIPPED, SUFFIXES, save_weights
from conversion.errors import CheckpointError
from tasks import TASKS

State = dict[str, Tensor]


def network() -> nn.Module:
    return NETWORKS["resnet20"](TASKS["cifar10"]()).build()


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


def same(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class TestFinding:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_by_network_and_task(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"vgg16_cifar100{suffix}"
        path.touch()
        assert find_weights("vgg16", "cifar100", tmp_path) == path

    def test_published_names_serve_cifar10_only(self, tmp_path: Path) -> None:
        path = tmp_path / "resnet20-12fca82f.th"
        path.touch()
        assert find_weights("resnet20", "cifar10", tmp_path) == path
        with pytest.raises(CheckpointError):
            find_weights("resnet20", "cifar100", tmp_path)

    def test_own_weights_come_before_published_and_shipped_ones(self, tmp_path: Path) -> None:
        assert find_weights("digits_convnet", "digits", tmp_path) == SHIPPED / "digits_convnet_digits.safetensors"
        for name in ("resnet20-12fca82f.th", "resnet20_cifar10.pth", "digits_convnet_digits.pt"):
            (tmp_path / name).touch()
        assert find_weights("resnet20", "cifar10", tmp_path).name == "resnet20_cifar10.pth"
        assert find_weights("digits_convnet", "digits", tmp_path).parent == tmp_path

    def test_a_failure_says_what_where_and_how_to_train(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError) as caught:
            find_weights("resnet20", "cifar10", tmp_path)
        for part in (
            "resnet20_cifar10.safetensors",
            "Put the published file resnet20-*.th (https://github.com/akamaster/pytorch_resnet_cifar10) into",
            str(tmp_path),
            "python run_all.py train --task cifar10 --network resnet20",
        ):
            assert part in str(caught.value)


class TestLoading:
    @pytest.mark.parametrize(
        ("name", "wrap"),
        [
            ("w.safetensors", lambda state: state),
            ("w.pth", lambda state: state),
            ("w.pt", lambda state: {"model": state, "epoch": 3}),
            ("w.pth.tar", lambda state: {"state_dict": state, "best_prec1": 91.7}),
            # As published: wrapped, data-parallel, without num_batches_tracked.
            (
                "resnet20-12fca82f.th",
                lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items() if "tracked" not in k}},
            ),
        ],
    )
    def test_every_form_gives_the_same_weights(self, name: str, wrap: Callable[[State], Any], tmp_path: Path) -> None:
        source, target = network(), network()
        path = write(tmp_path / name, wrap(source.state_dict()))
        assert not same(source, target)
        digest = load_weights(target, path)
        assert same(source, target)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.pop("layer2.0.conv1.weight"), r"lacks layer2\.0\.conv1\.weight.*\(32, 16, 3, 3\)"),
            (lambda s: s.update(extra=torch.ones(2)), r"holds extra with shape \(2,\), which the network does not"),
            (
                lambda s: s.update({"linear.weight": torch.ones(100, 64)}),
                r"linear\.weight with shape \(100, 64\);.*with shape \(10, 64\)",
            ),
            (lambda s: s.update({"bn1.bias": torch.full((16,), torch.nan)}), r"not finite in bn1\.bias"),
            (lambda s: s.update({"bn1.bias": torch.full((16,), torch.inf)}), r"not finite in bn1\.bias"),
            (lambda s: s.update({"bn1.bias": torch.ones(16, dtype=torch.int8)}), r"bn1\.bias as torch\.int8"),
        ],
    )
    def test_a_misfit_names_the_tensor_and_leaves_the_network_alone(
        self, change: Callable[[State], Any], message: str, tmp_path: Path
    ) -> None:
        state = network().state_dict()
        change(state)
        target = network()
        before = {name: value.clone() for name, value in target.state_dict().items()}
        with pytest.raises(CheckpointError, match=message):
            load_weights(target, write(tmp_path / "w.safetensors", state))
        assert all(torch.equal(before[name], value) for name, value in target.state_dict().items())

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
    @pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
    def test_a_truncated_file_is_refused(self, name: str, kept: float, tmp_path: Path) -> None:
        path = write(tmp_path / name, network().state_dict())
        content = path.read_bytes()
        path.write_bytes(content[: int(kept if kept == 0 or kept > 1 else kept * len(content))])
        with pytest.raises(CheckpointError, match=r"w\..* is damaged"):
            load_weights(network(), path)

    @pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"conv1": 1.0}}])
    def test_a_file_without_a_state_dict_is_refused(self, content: Any, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="no state dict"):
            load_weights(network(), write(tmp_path / "w.pth", content))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"absent\.pth cannot be read"):
            load_weights(network(), tmp_path / "absent.pth")

    def test_code_in_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        path = write(tmp_path / "w.pth", {"state_dict": _Touches(canary)})
        with pytest.raises(CheckpointError):
            load_weights(network(), path)
        assert not canary.exists()


class _Touches:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


class TestSaving:
    def test_the_same_weights_give_the_same_bytes_and_carry_their_provenance(self, tmp_path: Path) -> None:
        state = network().state_dict()
        for name in ("a.safetensors", "b.safetensors"):
            save_weights(tmp_path / name, state, {"task": "cifar10", "seed": 0, "network": "resnet20"})
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
        with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
            assert file.metadata() == {"provenance": '{"network": "resnet20", "seed": 0, "task": "cifar10"}'}

    def test_a_failed_write_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "w.safetensors"
        save_weights(path, {"x": torch.zeros(2)}, {})
        old = path.read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            save_weights(path, {"x": torch.ones(2)}, {})
        assert path.read_bytes() == old
        assert list(tmp_path.iterdir()) == [path]
