"""Random small networks as programs: operations drawn one after the other, each on values that are there already.

Shapes are not planned. An operation is tried on real values; what torch refuses, or what grows too large, is drawn
again. Values are used again (residual and shared structure) and so are layers with their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 120
"""Most numbers of one sample in a value."""


class Kind(StrEnum):
    """What an operation is to whoever counts connections."""

    WEIGHTS = "weights"
    PASS = "pass"
    MERGE = "merge"
    FIRE = "fire"
    NONLINEAR = "nonlinear"
    PRODUCT = "product"
    REFUSED = "refused"


Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Step:
    """One operation of a program.

    Attributes:
        kind: what it is.
        text: how to write it, for messages.
        sources: the values that it reads; 0 is the input, i + 1 what step i gives.
        part: the layer that it applies, by its number among those of the program.
        function: applied to the layer, if there is one, and the values.
        phases: for counting, the operation in several parts, each of a kind; none where it is one.
        cast: it changes the type of a value and back, which is no operation of a spiking network.
        apart: a value that it reads twice arrives in two places, once as it is and once moved.
        loose: it rounds, so that the network is not computed as exactly as others.
    """

    kind: Kind
    text: str
    sources: tuple[int, ...]
    function: Function
    part: int | None = None
    phases: tuple[tuple[Kind, Function], ...] = ()
    cast: bool = False
    apart: bool = False
    loose: bool = False


class Program(nn.Module):
    """A network of drawn operations. Its outputs are the values that no operation reads."""

    def __init__(self, steps: Sequence[Step], parts: Sequence[nn.Module], x: Tensor) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.parts = nn.ModuleList(parts)
        self.x = x
        read = {source for step in steps for source in step.sources}
        self.outputs = [i + 1 for i in range(len(steps)) if i + 1 not in read]
        self.eval()

    def apply_step(self, step: Step, *arguments: Tensor) -> Tensor:
        """What a step gives of arguments in the place of its sources."""
        return step.function(*([] if step.part is None else [self.parts[step.part]]), *arguments)

    def values(self, x: Tensor) -> list[Tensor]:
        """The input and the value of every step."""
        found = [x]
        for step in self.steps:
            found.append(self.apply_step(step, *(found[source] for source in step.sources)))
        return found

    def forward(self, x: Tensor) -> Any:
        found = self.values(x)
        outputs = [found[index] for index in self.outputs]
        return outputs[0] if len(outputs) == 1 else {"all": outputs}

    def __str__(self) -> str:
        lines = [f"v0 = input {tuple(self.x.shape)} {self.x.dtype}"]
        for i, step in enumerate(self.steps):
            reads = ", ".join(f"v{source}" for source in step.sources)
            layer = "" if step.part is None else f" [{self.parts[step.part]}]"
            lines.append(f"v{i + 1} = {step.text}({reads}){layer}")
        return "\n".join(lines)


class Drawing:
    """A program that is being drawn.

    Args:
        between: a number from `low` to `high`, both among them.
    """

    def __init__(self, between: Callable[[int, int], int]) -> None:
        self.between = between
        seed = self.between(0, 2**16)
        self.random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.dtype: torch.dtype = self.one_of([torch.float64, torch.float64, torch.float32])
        self.steps: list[Step] = []
        self.parts: list[nn.Module] = []
        shapes = [(2, 5, 5), (3, 4, 4), (1, 6, 5), (4, 7), (2, 9), (6,), (9,), (3, 4), (5, 6), (2, 3, 3, 3)]
        x = torch.randn(4, *self.one_of(shapes), generator=self.random, dtype=torch.float64)
        self.x = x.to(self.dtype)
        self.values = [self.x]
        if self.chance(8):
            # Bytes, as of images; or numbers of another width than the parameters.
            self.x = self.one_of(
                [(20 * x.abs()).to(torch.uint8), x.half(), x.to(torch.float32), (9 * x).to(torch.int64)]
            )
            self.values = [self.x]
            scaled = self.one_of([1.0, 4.0, 16.0])
            dtype = self.dtype
            self.try_step(Step(Kind.PASS, f"to {dtype} / {scaled}", (0,), lambda v: v.to(dtype) / scaled))

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.between(0, len(options) - 1)]

    def chance(self, one_in: int) -> bool:
        return self.between(1, one_in) == one_in

    def real(self) -> float:
        return self.between(2, 30) / 10 * self.one_of([1, -1])

    def weight(self, *shape: int) -> Tensor:
        """A constant without zeros."""
        found = torch.rand(shape, generator=self.random, dtype=torch.float64) + 0.25
        return (found * torch.where(torch.rand(shape, generator=self.random) > 0.4, 1, -1)).to(self.dtype)

    def layer(self, part: nn.Module) -> int:
        """Adds a layer with random parameters and statistics."""
        for name, value in (*part.named_parameters(), *part.named_buffers()):
            if value.is_floating_point():
                fresh = torch.rand(value.shape, generator=self.random) + 0.25
                if not name.endswith("running_var"):
                    fresh *= torch.where(torch.rand(value.shape, generator=self.random) > 0.4, 1, -1)
                scale = max(1.0, value[0].numel() ** 0.5) if value.dim() > 1 else 1.0
                value.data = (fresh / scale).to(self.dtype)
        self.parts.append(part.to(self.dtype).eval())
        return len(self.parts) - 1

    @torch.no_grad()
    def try_step(self, step: Step) -> bool:
        """Adds a step if torch takes it and its value is one of a batch, of a fair size."""
        try:
            arguments = [self.values[source] for source in step.sources]
            value = step.function(*([] if step.part is None else [self.parts[step.part]]), *arguments)
        except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
            return False
        if not isinstance(value, Tensor) or value.dim() < 2 or len(value) != len(self.x):
            return False
        if not 1 <= value[0].numel() <= LARGEST or not bool(torch.isfinite(value).all()) or value.abs().max() > 300:
            return False
        # What every sample has alike tells nothing, and the outputs of dead networks neither.
        if (
            value.is_floating_point()
            and step.kind is not Kind.REFUSED
            and float((value - value[:1]).abs().max()) < 1e-3
        ):
            return False
        self.steps.append(step)
        self.values.append(value)
        return True
