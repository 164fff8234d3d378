"""Trains a network on a task: the optimizer, schedule, warm-up and averaging of the network's recipe."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, PolynomialLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from adapters.base import Network, Recipe
from adapters.loggers import Log
from adapters.training.augmentations import AUGMENTATIONS
from adapters.training.progress import EpochProgress
from adapters.training.replicas import Replicas, Shares, joined
from adapters.training.resume import TrainingState
from adapters.training.sampling import Augmented, EpochShuffle, mix
from adapters.weights import load_backbone, save_weights
from conversion.errors import InvalidInput
from tasks.base import Task

Precision = Literal["float32", "bfloat16"]
MOMENTUM = 0.9
POLY_POWER = 0.9
EVALUATION_BATCH = 256
# Share of the epochs that have mixup, and share of their batches.
MIXED, MIXUP_SHARE = 0.75, 0.5
# Batches between draws of a side.
SIDE_BATCHES = 10


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training run.

    Attributes:
        path: the safetensors file with the weights of the best epoch.
        sha256: SHA-256 of that file, hexadecimal.
        epochs: number of epochs trained.
        best_epoch: number of the best epoch, from 1.
        validation_accuracy: primary metric of the best epoch on the validation split, in its unit (accuracy: percent).
        seconds: duration of this call, without the earlier part of an interrupted run.
    """

    path: Path
    sha256: str
    epochs: int
    best_epoch: int
    validation_accuracy: float
    seconds: float


def train(
    network: type[Network],
    task: Task,
    output_dir: Path,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    backbone: Path | None = None,
    log: Sequence[str] = (),
    resume: bool = True,
    overwrite: bool = False,
) -> TrainingResult:
    """Trains on the training split and keeps the epoch that is best on the validation split; never looks at test.

    On a CPU in float32 the same arguments and number of threads give the same weights, interrupted or not. In processes
    that torchrun has started it trains one network on all their devices (`adapters.training.replicas`).

    Args:
        network: the class to train, as registered in `NETWORKS`.
        task: the task to train it on.
        output_dir: receives `<network>_<task>.safetensors` and, until that is complete, `<network>_<task>.resume.pt`.
        epochs, batch_size, learning_rate: values in place of the network's recipe.
        seed: seed of initial weights, order and augmentation.
        device: torch's name of the device.
        precision: bfloat16 runs forward and backward under autocast; weights stay float32.
        backbone: pretrained weights that the network starts from, see `load_backbone`; None for random ones.
        log: loggers, "tensorboard:curves", which receive the loss, learning rate and score of every epoch.
        resume: continue an interrupted run found in `output_dir`; False starts over.
        overwrite: replace weights that `output_dir` already holds.

    Raises:
        InvalidInput: for settings out of range or a logger that cannot write, before any work; later, when the loss is
            not finite.
        DataMissing: when the task's data are not on disk.
        CheckpointError: when the interrupted run found is damaged or had other settings, or the backbone does not fit.
    """
    started = time.perf_counter()
    overrides: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    adapter = network(task)
    task = adapter.task  # As the network needs it read.
    recipe = replace(adapter.recipe, **{name: value for name, value in overrides.items() if value is not None})
    _check(recipe, seed, precision)
    with (
        joined(device, recipe.batch_size) as replicas,
        # Global generators are seeded inside and restored afterwards.
        torch.random.fork_rng(devices=[replicas.device] if replicas.device.type == "cuda" else []),
    ):
        place = replicas.device
        name = f"{network.name}_{task.name}"
        logged = Log(log if replicas.first else ())
        task.require()
        model, pretrained = _build(adapter, network, backbone, seed)
        data, validation = task.split("train"), task.split("validation")
        for split, samples in (("training", data), ("validation", validation)):
            if _size(samples) == 0:
                raise InvalidInput(f"The {split} split of task {task.name} is empty; training needs more samples.")

        output, interrupted = output_dir / f"{name}.safetensors", output_dir / f"{name}.resume.pt"
        if output.exists() and not overwrite:
            raise InvalidInput(
                f"{output} exists already; pass --overwrite to replace it, or name another --weights folder."
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        identity = {"network": network.name, "task": task.name, "seed": seed, "precision": precision}
        settings = {**identity, **asdict(recipe), "data": task.digest(), "backbone": pretrained}

        state = _start(replicas.with_shared_statistics(model).to(place), recipe)
        if resume and interrupted.exists():
            state.restore(interrupted, settings)
        samples = Augmented(data, AUGMENTATIONS[recipe.augment](task.input_shape), seed)
        sampler = EpochShuffle(_size(data), seed)
        shares = Shares(sampler, recipe.batch_size, replicas)
        workers = _workers(replicas, recipe)
        loader = DataLoader(
            samples, batch_sampler=shares, num_workers=workers, persistent_workers=workers > 0,
            collate_fn=task.collate,
        )  # fmt: skip
        forward = replicas.parallel(state.model)
        with (
            EpochProgress(name, recipe.epochs, state.epoch, len(loader), replicas.first) as progress,
            logged.run(name, settings) as row,
        ):
            while state.epoch < recipe.epochs:
                sampler.epoch = state.epoch
                torch.manual_seed(mix(seed, state.epoch))
                loss, rate = _train_epoch(
                    state, forward, adapter, loader, shares.sizes, recipe, replicas, precision, progress
                )
                if not math.isfinite(loss):
                    interrupted.unlink(missing_ok=True)  # Continuing from there would only diverge again.
                    raise InvalidInput(
                        f"Training {name} diverged: the loss of epoch {state.epoch + 1} is {loss}. "
                        f"Lower the learning rate, now {recipe.learning_rate:g}."
                    )
                scored = (state.epoch + 1) % recipe.validate_every == 0 or state.epoch + 1 == recipe.epochs
                judged = scored and replicas.first
                accuracy = replicas.told(evaluate(state.result, adapter, task, validation, place) if judged else None)
                state.complete_epoch(accuracy)
                if replicas.first:
                    state.save(interrupted, settings)
                logged.add(
                    state.epoch,
                    {"loss": loss, "learning rate": rate, f"validation {task.primary_metric}": accuracy},
                )
                note = "" if accuracy is None else f", validation {accuracy:.2f}"
                progress.complete_epoch(f"loss {loss:.4f}{note}")
            row |= {"best epoch": state.best_epoch, f"best validation {task.primary_metric}": state.best_accuracy}

        provenance = {
            **identity,
            "epochs": recipe.epochs,
            "best_epoch": state.best_epoch,
            "validation_accuracy": round(state.best_accuracy, 4),
            **({} if backbone is None else {"backbone": {"file": backbone.name, "sha256": pretrained}}),
            "command": _command(network, task, recipe, seed, device, precision, backbone, replicas.count),
            "torch": str(torch.__version__),
        }
        if replicas.first:
            save_weights(output, state.best_weights, provenance)
            interrupted.unlink()
        replicas.wait()
        return TrainingResult(
            path=output,
            sha256=hashlib.sha256(output.read_bytes()).hexdigest(),
            epochs=recipe.epochs,
            best_epoch=state.best_epoch,
            validation_accuracy=state.best_accuracy,
            seconds=time.perf_counter() - started,
        )


@torch.no_grad()
def evaluate(
    model: nn.Module, adapter: Network, task: Task, data: Dataset[tuple[Tensor, Any]], device: torch.device
) -> float:
    """The task's primary metric over a split, in float32 and evaluation mode."""
    model.eval()
    metric = task.metric()
    for inputs, targets in DataLoader(data, min(EVALUATION_BATCH, 4 * task.batch), collate_fn=task.collate):
        output = model(adapter.encode(inputs.to(device)))
        metric.update(adapter.decode(tree_map(Tensor.cpu, output)), targets)
    return metric.compute()[task.primary_metric].value


def _train_epoch(
    state: TrainingState,
    forward: nn.Module,
    adapter: Network,
    loader: DataLoader[tuple[Tensor, Any]],
    sizes: Sequence[int],
    recipe: Recipe,
    replicas: Replicas,
    precision: Precision,
    progress: EpochProgress,
) -> tuple[float, float]:
    """One pass over the training split; returns the mean loss and the learning rate of the last batch.

    `forward` runs the state's model, and `sizes` are the samples of each batch, both over all processes.
    """
    forward.train()
    device = replicas.device
    total = torch.zeros((), device=device)
    scheduled = [group["lr"] for group in state.optimizer.param_groups]
    side: int | None = None
    for batch, ((inputs, targets), size) in enumerate(zip(loader, sizes, strict=True)):
        if recipe.warmup_shape == "quartic" and state.epoch < recipe.warmup:
            passed = (state.epoch + batch / len(loader)) / recipe.warmup
            _set_rates(state.optimizer, [recipe.learning_rate * passed**4] * len(scheduled))
        if recipe.sides and batch % SIDE_BATCHES == 0:
            side = recipe.sides[int(torch.randint(len(recipe.sides), ()))]
        inputs = inputs.to(device)
        targets = tree_map(lambda part: part.to(device) if isinstance(part, Tensor) else part, targets)
        encoded, mixture = adapter.encode(inputs), None
        if side is not None:
            encoded = F.interpolate(encoded, (side, side), mode="bilinear", align_corners=False)
        if recipe.mixup and state.epoch < MIXED * recipe.epochs and torch.rand(()) < MIXUP_SHARE:
            mixture = Mixture(len(encoded), recipe.mixup)
            encoded = mixture.inputs(encoded)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = forward(encoded)
        loss = adapter.loss(output, targets) if mixture is None else mixture.loss(adapter, output, targets)
        state.optimizer.zero_grad(set_to_none=True)
        replicas.weighted(loss, len(inputs), size).backward()
        state.optimizer.step()
        if state.average is not None:
            state.average.update_parameters(state.model)
        # Summed on the device: reading every loss would synchronise a GPU after each batch.
        total += loss.detach() * len(inputs)
        progress.batch()
    last = float(state.optimizer.param_groups[0]["lr"])
    _set_rates(state.optimizer, scheduled)
    state.scheduler.step()
    return replicas.total(total).item() / sum(sizes), last


def _set_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


class Mixture:
    """Mixup of one batch: every sample is mixed with another of the batch, all by the same share.

    Args:
        size: number of samples in the batch.
        alpha: the share is drawn from Beta(alpha, alpha).
    """

    def __init__(self, size: int, alpha: float) -> None:
        # Drawn by torch's global generator, which the epoch has seeded.
        self.share = float(torch.distributions.Beta(alpha, alpha).sample())
        self.others = torch.randperm(size)

    def inputs(self, encoded: Tensor) -> Tensor:
        return self.share * encoded + (1 - self.share) * encoded[self.others.to(encoded.device)]

    def loss(self, adapter: Network, output: Any, targets: Tensor) -> Tensor:
        others = targets[self.others.to(targets.device)]
        return self.share * adapter.loss(output, targets) + (1 - self.share) * adapter.loss(output, others)


def _build(adapter: Network, network: type[Network], backbone: Path | None, seed: int) -> tuple[nn.Module, str | None]:
    """The network as training starts it, on the CPU, and the digest of the pretrained weights in it, if any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed))
        model = adapter.build()
    return model, None if backbone is None else load_backbone(model, network, backbone)


def _start(model: nn.Module, recipe: Recipe) -> TrainingState:
    optimizer: Optimizer
    if recipe.optimizer == "adamw":
        optimizer = AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = SGD(model.parameters(), recipe.learning_rate, MOMENTUM, weight_decay=recipe.weight_decay)
    average = None
    if recipe.ema:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    return TrainingState(model, optimizer, _schedule(optimizer, recipe), average)


def _schedule(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    falling: LRScheduler
    if recipe.milestones:
        falling = MultiStepLR(optimizer, [epoch - recipe.warmup for epoch in recipe.milestones], recipe.fall)
    elif recipe.schedule == "poly":
        falling = PolynomialLR(optimizer, total_iters=max(1, recipe.epochs - recipe.warmup), power=POLY_POWER)
    else:
        falling = CosineAnnealingLR(optimizer, max(1, recipe.epochs - recipe.warmup), recipe.final_rate)
    if not recipe.warmup:
        return falling
    # A quartic warm-up sets the rate of each batch itself.
    rising = LinearLR(optimizer, start_factor=recipe.warmup_from, total_iters=recipe.warmup)
    return SequentialLR(optimizer, [rising, falling], milestones=[recipe.warmup])


def _check(recipe: Recipe, seed: int, precision: str) -> None:
    for name in ("epochs", "batch_size"):
        value = getattr(recipe, name)
        if value < 1:
            raise InvalidInput(f"Training needs {name} of at least 1; it got {value}.")
    if not (math.isfinite(recipe.learning_rate) and recipe.learning_rate > 0):
        raise InvalidInput(f"The learning rate must be a positive number; it is {recipe.learning_rate}.")
    if seed < 0:
        raise InvalidInput(f"The seed must not be negative; it is {seed}.")
    if precision not in ("float32", "bfloat16"):
        raise InvalidInput(f"Training runs in float32 or bfloat16, not in '{precision}'.")
    if recipe.augment not in AUGMENTATIONS:
        raise InvalidInput(f"There is no augmentation '{recipe.augment}'; known: {', '.join(sorted(AUGMENTATIONS))}.")


def _workers(replicas: Replicas, recipe: Recipe) -> int:
    """The number of loader processes: 0 on a CPU, whose cores the network needs; several where a GPU would wait."""
    if replicas.device.type == "cpu" or recipe.augment == "none":
        return 0
    return max(0, min(8, (os.cpu_count() or 1) // replicas.count - 1))


def _command(
    network: type[Network], task: Task, recipe: Recipe, seed: int, device: str, precision: str, backbone: Path | None,
    processes: int,
) -> str:  # fmt: skip
    """The command line that reproduces the weights, with every setting written out.

    On a CPU the number of threads is one of them: the order of sums depends on it, and so do the last digits.
    """
    threads = f"OMP_NUM_THREADS={torch.get_num_threads()} " if torch.device(device).type == "cpu" else ""
    start = "python" if processes == 1 else f"torchrun --nproc-per-node {processes}"
    return (
        f"{threads}{start} run_all.py train --task {task.name} --network {network.name} --epochs {recipe.epochs} "
        f"--batch-size {recipe.batch_size} --learning-rate {recipe.learning_rate:g} --seed {seed} "
        f"--device {device} --precision {precision}" + ("" if backbone is None else f" --backbone {backbone.name}")
    )


def _size(data: Dataset[tuple[Tensor, Any]]) -> int:
    return len(cast(Sized, data))  # Every split here has a length; torch's Dataset does not promise one.
