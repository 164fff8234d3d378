"""Mutated state dicts of converted networks, loaded into a `SpikingModule` through `load_state_dict`.

A state dict is taken whole, and the module then gives finite outputs; or it is refused by an error of ours, and the
module is as before. As a part of another module torch refuses names that are missing or unknown.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from conversion import SpikingModule, capture, convert
from conversion.errors import BenchmarkError

METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("burst", {"phi": 2}), ("calibration", {}), ("held", {}), ("snm", {}), ("dcgs", {}),
)  # fmt: skip
NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, -1.0, 1e-38, 1e38, 3.4e38, 2.0**24)
OTHERS: tuple[Any, ...] = (None, 1, 1.5, "x", [], {}, [1.0], b"\0", object())
TYPES = (
    torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64,
    torch.float8_e4m3fn,
)  # fmt: skip


@cache
def modules() -> tuple[SpikingModule, ...]:
    """Converted networks with neurons of several kinds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3), nn.LeakyReLU(0.1),
            nn.Linear(3, 2),
        ).eval()  # fmt: skip
        samples = images()
        graph, plain = capture(model, samples), capture(nn.Sequential(*model[:5], nn.ReLU(), model[6]).eval(), samples)
    return tuple(
        SpikingModule(convert(graph if name == "burst" else plain, samples, name, T=4, **options))
        for name, options in METHODS
    )


def images() -> Tensor:
    return torch.linspace(0, 1, 4 * 16).reshape(4, 1, 4, 4)


def mutated(source: random.Random, state: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """A state dict with a few of its names, values, shapes or types changed."""
    found = dict(state)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        if not found:
            return found
        name = source.choice(list(found))
        value = found[name]
        plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
        floating = plain and value.is_floating_point()
        match source.randrange(12):
            case 0:
                del found[name]
            case 1:
                found[name + source.choice(("x", ".weight", ".", "_"))] = found.pop(name)
            case 2:
                other = source.choice(others)
                found[name] = other[source.choice(list(other))]
            case 3:
                found[name] = source.choice(OTHERS)
            case 4 if plain:
                found[name] = source.choice((
                    value[None], value.flatten(), value.flatten()[:0], value.flatten()[:1], value.float().sum(),
                    value.expand(2, *value.shape), value.mT if value.dim() > 1 else value,
                ))  # fmt: skip
            case 5 if plain:
                found[name] = value.to(source.choice(TYPES))
            case 6 if plain:
                found[name] = source.choice((
                    value.float().to_sparse(), value.to("meta"), value.detach().float().numpy(),
                    nn.Parameter(value.clone().float()),
                    value.flatten()[:1].expand(value.numel()).reshape(value.shape) if value.numel() else value,
                ))  # fmt: skip
            case 7 if floating:
                found[name] = torch.full_like(value.float(), source.choice(NUMBERS)).to(value.dtype)
            case 8:
                found[source.choice(("", "weights", "neurons.x.threshold", "\ud800", "a.b.c"))] = value
            case _ if floating and value.numel():
                changed = value.flatten().clone()
                changed[source.randrange(len(changed))] = source.choice(NUMBERS)
                found[name] = changed.reshape(value.shape)
    return found


def states(seed: int) -> None:
    """One state dict, into a module or one around it, strictly or not, copied or assigned."""
    source = random.Random(f"states {seed}")
    module = source.choice(modules())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    others = [dict(other.state_dict()) for other in modules()]
    given = mutated(source, {name: value.clone() for name, value in before.items()}, others)
    strict, assign = source.random() < 0.7, source.random() < 0.3
    around = source.random() < 0.2
    try:
        if around:
            nested = {f"0.{name}": value for name, value in given.items()}
            nn.Sequential(module).load_state_dict(nested, strict=strict, assign=assign)
        else:
            module.load_state_dict(given, strict=strict, assign=assign)
        try:
            outputs = module(images())
        except BenchmarkError:  # Of numbers so large that their sums are not finite.
            return
        if outputs.dtype != torch.float32 or outputs.shape != (4, 2):
            raise AssertionError(f"outputs are {outputs.dtype} of shape {tuple(outputs.shape)}")
    except BenchmarkError as error:
        if "\n" in str(error):
            raise AssertionError(f"the error has more than a line: {error}") from error
        changed = [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]
        if changed:
            raise AssertionError(f"it was refused, and {changed} changed: {error}") from error
    except RuntimeError as error:  # Of torch, which loads the parts of another module, about names alone.
        if not around or "key(s) in state_dict" not in str(error) or "mismatch" in str(error):
            raise
    finally:
        module.load_state_dict(before, assign=True)


TARGETS: list[tuple[str, Callable[[int], None]]] = [("states", states)]
