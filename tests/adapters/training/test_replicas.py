"""Processes that share batches out train what one process trains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapters import train
from adapters.images.digits import DigitsNetwork
from adapters.training import replicas
from adapters.training.replicas import Replicas, Shares, joined
from adapters.training.sampling import EpochShuffle
from conversion.errors import InvalidInput
from tests.adapters.training.few import FewDigits

CPU = torch.device("cpu")


class WithoutNorm(DigitsNetwork):
    """Of batches that are shared out a batch norm on a CPU sees its share alone."""

    name = "without_norm"

    def build(self) -> Any:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def trained(folder: Path) -> Path:
    """In batches of 20 and a last one of 16."""
    return train(WithoutNorm, FewDigits(), folder, epochs=2, batch_size=20, learning_rate=0.02).path


@pytest.mark.parametrize(("size", "batch_size", "sizes"), [(23, 8, [8, 8, 7]), (18, 8, [8, 8]), (16, 8, [8, 8])])
def test_shares_of_batches_are_the_batches(size: int, batch_size: int, sizes: list[int]) -> None:
    """In 3 processes; 2 samples are too few for the last batch."""
    order = EpochShuffle(size, seed=0)
    shares = [list(Shares(order, batch_size, Replicas(CPU, rank, 3))) for rank in range(3)]
    whole = iter(order)
    for batch in range(len(sizes)):
        parts = [share[batch] for share in shares]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert sorted(chain(*parts)) == sorted(next(whole) for _ in range(sizes[batch]))
    assert all(len(share) == len(sizes) for share in shares)
    alone = list(Shares(order, batch_size, Replicas(CPU)))
    assert [key for batch in alone for key in batch] == list(order)


def test_weighted_gradients_average_to_that_of_the_whole_batch() -> None:
    x, targets = torch.randn(7, 5, dtype=torch.float64), torch.randint(3, (7,))
    weight = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)

    def gradient(loss: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(loss, weight)
        return found

    three = [Replicas(CPU, rank, 3) for rank in range(3)]
    parts = [slice(each.rank, None, each.count) for each in three]
    found = [
        gradient(each.weighted(F.cross_entropy(x[part] @ weight.T, targets[part]), len(x[part]), len(x)))
        for each, part in zip(three, parts, strict=True)
    ]
    whole = gradient(F.cross_entropy(x @ weight.T, targets))
    torch.testing.assert_close(torch.stack(found).mean(0), whole, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_two_processes_train_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """This one and another, as torchrun starts them; but for the order of sums, 1e-7 of a weight in ten updates."""
    alone = safetensors.torch.load_file(trained(tmp_path / "alone"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    script = (
        "from pathlib import Path\n"
        "from tests.adapters.training.test_replicas import trained\n"
        f"trained(Path({str(tmp_path / 'together')!r}))\n"
    )
    second = {**os.environ, **shared, "RANK": "1", "LOCAL_RANK": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    # Should the other fail, this one does not wait for long.
    monkeypatch.setattr(replicas, "PATIENCE", timedelta(minutes=3))
    capfd.readouterr()
    with subprocess.Popen([sys.executable, "-c", script], env=second) as other:
        path = trained(tmp_path / "together")
    assert other.returncode == 0
    assert capfd.readouterr().err.count("epoch 2/2") == 1  # One process reports.
    together = safetensors.torch.load_file(path)
    assert together.keys() == alone.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=1e-5)
    with safetensors.safe_open(path, "pt") as file:
        assert "torchrun --nproc-per-node 2 run_all.py train" in file.metadata()["provenance"]


@pytest.mark.parametrize(
    ("device", "batch_size", "said"), [("cuda:1", 8, "pass --device cuda, not cuda:1"), ("cpu", 2, "among 3 processes")]
)
def test_what_cannot_be_shared_out_is_refused(
    device: str, batch_size: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=said), joined(device, batch_size):
        pass
