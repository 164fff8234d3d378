"""The checks of networks: of the class, of the module that it builds, and of its inputs and outputs."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from adapters import NETWORKS, Network, load_weights
from adapters.base import fitting
from adapters.training.augmentations import AUGMENTATIONS
from adapters.weights import save_weights
from benchmarks.conformance.kit import Check, DoesNotApply, Failed, demand, demand_none
from benchmarks.conformance.outputs import flat, relative_error
from conversion import ConversionGraph, capture
from conversion.errors import BenchmarkError
from conversion.simulation.frames import mean_input
from tasks import TASKS, Task
from tasks.base import Metric, Split

SAMPLES = 3
# Networks that take inputs of any size are tried on small ones.
LARGEST = 64


class NetworkBench:
    """A network with random weights, bound to the first task that it fits. No data are needed.

    Raises:
        Failed: it fits no registered task.
    """

    def __init__(self, kind: type[Network]) -> None:
        self.kind = kind

    @cached_property
    def tasks(self) -> list[str]:
        return fitting(self.kind)

    @cached_property
    def adapter(self) -> Network:
        demand(bool(self.tasks), "It fits no task that is registered; see its attributes `family` and `shape`.")
        return make_adapter(self.kind, self.tasks[0])

    @cached_property
    def inputs(self) -> Tensor:
        """Samples as a task gives them: random pixels, which serve as points, too."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (SAMPLES, *shape_of(self.adapter)), generator=generator, dtype=torch.uint8)

    @cached_property
    def model(self) -> nn.Module:
        """The module in inference mode and float64, where order and size of a batch change only the last digits."""
        return random_model(self.adapter, seed=0).double()

    @cached_property
    def images(self) -> Tensor:
        return self.adapter.encode(self.inputs).double()

    @cached_property
    def output(self) -> Any:
        """What the module makes of all images at once."""
        with torch.no_grad():
            return self.model(self.images)

    @cached_property
    def graph(self) -> ConversionGraph:
        return capture(self.model, self.images[:1])


def make_adapter(kind: type[Network], task: str) -> Network:
    """An adapter for a task; if it resizes samples, to small ones."""
    adapter = kind(TASKS[task]())
    if adapter.side is not None:
        adapter.side = min(adapter.side, LARGEST)
    return adapter


def shape_of(adapter: Network) -> tuple[int, ...]:
    """The shape of a sample to try a network with: its task's, or a smaller one where both allow any size."""
    task, fixed = adapter.task, adapter.shape is not None and None not in adapter.shape
    if fixed or not task.samples.any_size:
        return task.input_shape
    return (task.input_shape[0], *(min(side, LARGEST) for side in task.input_shape[1:]))


@torch.no_grad()
def random_model(adapter: Network, seed: int) -> nn.Module:
    """A module with random weights, in inference mode, whose batch norms have random means."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = adapter.build()
        for part in model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
                part.running_mean.normal_(0, 0.1)
    return model.eval()


def says_what_it_is(bench: NetworkBench) -> None:
    """The class, or the one it inherits from, has a docstring."""
    own = [kind for kind in bench.kind.__mro__ if issubclass(kind, Network) and kind is not Network]
    demand(any(vars(kind).get("__doc__") for kind in own), f"{bench.kind.__qualname__} has no docstring.")


def is_called_as_registered(bench: NetworkBench) -> None:
    """The attribute `name` is the name that the class is registered under."""
    name = bench.kind.name
    demand(
        name in NETWORKS and NETWORKS[name] is bench.kind,
        f'{bench.kind.__qualname__}.name is "{name}", but that name does not lead to it; register it as name says.',
    )


@torch.no_grad()
def builds_for_every_task_it_fits(bench: NetworkBench) -> None:
    """For each task it gives what the task's target asks for: a score for each class, or boxes, say."""
    first = bench.adapter.task.name
    for name in bench.tasks:
        if name == first:
            adapter, sample = bench.adapter, bench.inputs[:2]
            output = bench.model(bench.images[:2])
        else:
            adapter = make_adapter(bench.kind, name)
            sample = torch.zeros(2, *shape_of(adapter), dtype=torch.uint8)
            # For tasks with large samples, only shapes are computed after the first task.
            with torch.device("meta" if adapter.task.samples.large else "cpu") as device:
                output = random_model(adapter, seed=0)(adapter.encode(sample.to(device)))
        fault = adapter.task.target.output_fault(output, adapter.decode, tuple(sample.shape), len(adapter.task.classes))
        demand_none(fault and f"For task {name}: {fault}")


class Other(Task):
    """A task of a kind that no network is for."""

    name = "other"
    classes = ("a", "b")
    input_shape = (1, 1)

    def missing(self) -> str:
        return "It has no data."

    def split(self, name: Split) -> Dataset[tuple[Tensor, Any]]:
        raise NotImplementedError

    def metric(self) -> Metric:
        raise NotImplementedError

    def digest(self) -> str:
        raise NotImplementedError


def refuses_tasks_of_another_kind(bench: NetworkBench) -> None:
    """A task of a family that is not its own is refused."""
    demand(bench.kind.fits(Other()) is not None, "`fits` finds nothing wrong with it; say which `family` it is for.")
    try:
        bench.kind(Other())
    except BenchmarkError:
        return
    except Exception as error:
        raise Failed(f"It ends in {type(error).__name__}: {error}; call super().__init__(task) first.") from error
    raise Failed("It is bound to it and not refused; call super().__init__(task) first.")


def encodes_sample_by_sample(bench: NetworkBench) -> None:
    """`encode` gives finite floats, one input for each sample and the same in any batch."""
    encoded = bench.adapter.encode(bench.inputs)
    demand(encoded.dtype == torch.float32, f"It gives {encoded.dtype}; give float32.")
    demand(len(encoded) == SAMPLES, f"It makes {len(encoded)} inputs of {SAMPLES} samples.")
    demand(bool(torch.isfinite(encoded).all()), "It gives values that are not finite.")
    alone = torch.cat([bench.adapter.encode(sample[None]) for sample in bench.inputs])
    demand(torch.allclose(encoded, alone, atol=1e-6), "A sample's input depends on the batch that it is in.")


@torch.no_grad()
def is_fed_what_it_encodes(bench: NetworkBench) -> None:
    """The mean over time of what `spiking_input` gives is what `encode` gives: conversions compare the two."""
    encoded, spiking = bench.adapter.encode(bench.inputs), bench.adapter.spiking_input(bench.inputs)
    demand(
        tuple(spiking.shape) == tuple(encoded.shape),
        f"Their shapes are {tuple(spiking.shape)} and {tuple(encoded.shape)}.",
    )
    demand(
        torch.allclose(mean_input(spiking), encoded, rtol=1e-4, atol=1e-4 * float(encoded.abs().max())),
        "It is not; give frames whose mean is what the ANN sees.",
    )


def decodes_to_classes(bench: NetworkBench) -> None:
    """`decode` turns scores (N, classes, ...) into one class index for each sample or place, where scores are given."""
    classes = len(bench.adapter.task.classes)
    probe = bench.adapter.task.target.probe(classes)
    if probe is None:
        raise DoesNotApply("The network gives no scores of classes; what it decodes to was looked at for each task.")
    scores, expected = probe
    predictions = bench.adapter.decode(scores)
    demand(
        isinstance(predictions, Tensor) and torch.equal(predictions.cpu().long(), expected),
        f"Of scores that are largest at 0..{classes - 1} it makes {predictions}.",
    )


@torch.no_grad()
def answers_sample_by_sample(bench: NetworkBench) -> None:
    """In inference mode the output of a sample is the same again and in any batch."""
    whole = flat(bench.output)
    demand(torch.equal(flat(bench.model(bench.images)), whole), "The same batch gives other outputs the second time.")
    alone = torch.cat([flat(bench.model(image[None])) for image in bench.images])
    demand(torch.allclose(whole, alone, atol=1e-8), "The output of a sample depends on the others in its batch.")


def can_be_captured(bench: NetworkBench) -> None:
    """`capture` finds a role for every operation, for any batch size."""
    _ = bench.graph


@torch.no_grad()
def is_computed_alike_when_captured(bench: NetworkBench) -> None:
    """The captured graph computes what the module computes."""
    error = relative_error(bench.graph.run(bench.images), bench.output)
    demand(error < 1e-6, f"Outputs differ by {error:.1g} of their norm; let forward depend on the input alone.")


def has_activations_for_neurons(bench: NetworkBench) -> None:
    """There is an activation that neurons can take the place of."""
    demand(bool(bench.graph.firing), "There is none; use ReLU, ReLU6 or leaky ReLU, for instance.")


@torch.no_grad()
def keeps_its_weights(bench: NetworkBench) -> None:
    """Weights that are saved and loaded into another instance give the same outputs."""
    # As float32, which is what it is built and saved in; one sample tells whether weights are those of another.
    model, other = deepcopy(bench.model).float(), random_model(bench.adapter, seed=1)
    image = bench.adapter.encode(bench.inputs[:1])
    expected = flat(model(image))
    demand(
        not torch.allclose(expected, flat(other(image))),
        "Two seeds give the same outputs; draw initial weights from torch's generator.",
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        save_weights(path, model.state_dict(), {})
        load_weights(other, path)
    demand(
        torch.equal(expected, flat(other(image))),
        "They do not; keep everything that decides outputs in parameters and buffers.",
    )


def has_a_recipe_to_train_by(bench: NetworkBench) -> None:
    """The recipe names an augmentation that exists and trains for at least one epoch."""
    recipe = bench.kind.recipe
    demand(recipe.augment in AUGMENTATIONS, f"There is no '{recipe.augment}'; known: {', '.join(AUGMENTATIONS)}.")
    demand(
        min(recipe.epochs, recipe.batch_size) >= 1 and recipe.learning_rate > 0,
        f"It says epochs {recipe.epochs}, batch_size {recipe.batch_size}, learning_rate {recipe.learning_rate}.",
    )


CHECKS: tuple[Check[NetworkBench], ...] = (
    says_what_it_is, is_called_as_registered, builds_for_every_task_it_fits, refuses_tasks_of_another_kind,
    encodes_sample_by_sample, is_fed_what_it_encodes, decodes_to_classes, answers_sample_by_sample, can_be_captured,
    is_computed_alike_when_captured, has_activations_for_neurons, keeps_its_weights, has_a_recipe_to_train_by,
)  # fmt: skip
