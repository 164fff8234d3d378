"""Rules by which samples exit before step T: IAT's (section 3.3 of the paper), and two that need no labels.

IAT: with Z_t the sum of the logits of steps 1..t and e_t the entropy of softmax(Z_t) divided by that of C equal
classes, a sample exits at the first step t with 1 - e_t > alpha_t. The confidence threshold

    alpha_t = base + scale exp(-(E_t - min E) / delta)

follows the confidence of correct predictions at step t: E_t is their mean entropy over held-out training samples.

The paper defines this for classes. For networks that classify every position of a map we take the mean over all
positions as a sample's entropy, and every position that is right as a correct prediction; this reading is ours. A map
of one position is the paper's case. All positions of a sample exit at once, padded ones among them.

Confident answers: of networks whose neurons hold values, the first answer is made of large amplitudes already, and a
sample exits when the largest probability of its classes is high enough, at any step alike. It needs no labels.

Settled outputs: boxes have no entropy, so there a sample exits when its output y hardly changes any more. At steps 2,
4, 8 ... it is compared with the output at half as many steps: the sample exits if |y_t - y_t/2| <= max_change |y_t|.
This rule is ours; it needs no labels and serves classes and maps as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from conversion.errors import InvalidInput

Sign = Literal["code", "paper_text"]


class ExitRule(Protocol):
    """Decides which samples exit, and at which steps."""

    def decides_at(self, t: int) -> bool:
        """Whether samples may exit at step t."""
        ...

    def exits(self, output: Any, t: int, earlier: Any) -> Tensor:
        """Whether each sample exits, bool of shape (N,).

        Args:
            output: the network's, from the mean of steps 1..t.
            t: the step.
            earlier: outputs of the same samples at the last power of two before t; None at t = 1.
        """
        ...


@dataclass(frozen=True)
class EntropyRule:
    """IAT's rule: samples exit when the entropy of their classes is low enough.

    Attributes:
        alpha: confidence threshold alpha_t for t = 1..T; a simulation of more steps continues with the last.
    """

    alpha: tuple[float, ...]

    def decides_at(self, t: int) -> bool:
        return True

    def exits(self, output: Any, t: int, earlier: Any) -> Tensor:
        """Whether each sample exits, from mean logits of shape (N, C, ...)."""
        return 1 - normalised_entropy(output, t) > self.alpha[min(t, len(self.alpha)) - 1]


@dataclass(frozen=True)
class ConfidenceRule:
    """Samples exit when the largest probability of their classes is high enough: its mean over positions, in maps.

    Attributes:
        probability: the lowest mean of max softmax(output) with which a sample exits.
    """

    probability: float

    def decides_at(self, t: int) -> bool:
        return True

    def exits(self, output: Any, t: int, earlier: Any) -> Tensor:
        """Whether each sample exits, from logits of shape (N, C, ...)."""
        scores = class_scores(output, "An exit by confidence")
        largest = scores.softmax(1).amax(1)
        return (largest.flatten(1).mean(1) if largest.dim() > 1 else largest) >= self.probability


@dataclass(frozen=True)
class SettledRule:
    """Our rule, for outputs of any kind: samples exit when their output hardly changes any more.

    Attributes:
        max_change: largest change since half as many steps, relative to the output, with which a sample exits.
    """

    max_change: float

    def decides_at(self, t: int) -> bool:
        return is_power_of_two(t)

    def exits(self, output: Any, t: int, earlier: Any) -> Tensor:
        """Whether each sample exits, from outputs of any structure with the samples on the first axis."""
        if earlier is None:
            first = pytree.tree_leaves(output)[0]
            return torch.zeros(len(first), dtype=torch.bool, device=first.device)
        return relative_change(output, earlier) <= self.max_change


def exit_steps(rule: ExitRule, outputs: Mapping[int, Any]) -> Tensor:
    """The step at which each sample exits, int64 of shape (N,), from the outputs of all steps 1..T without an exit."""
    T = max(outputs)
    earlier: Any = None
    steps = torch.empty(0)
    for t in range(1, T + 1):
        output = outputs[t]
        if t == 1:
            first = pytree.tree_leaves(output)[0]
            steps = torch.full((len(first),), T, device=first.device)
        if rule.decides_at(t):
            steps[rule.exits(output, t, earlier) & (steps == T)] = t
        if is_power_of_two(t):
            earlier = output
    return steps


def is_power_of_two(t: int) -> bool:
    """Whether t is 1, 2, 4, 8 ..."""
    return t & (t - 1) == 0


def relative_change(output: Any, earlier: Any) -> Tensor:
    """Change of each sample's output, |output - earlier| / |output| over all its numbers: float32 of shape (N,)."""
    now, before = (
        torch.cat([part.float().flatten(1) for part in pytree.tree_leaves(values)], 1) for values in (output, earlier)
    )
    change: Tensor = (now - before).norm(dim=1) / now.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return change


def normalised_entropy(output: Any, t: int) -> Tensor:
    """Mean of `position_entropy` over the positions of each sample: shape (N,), between 0 and 1."""
    entropy = position_entropy(output, t)
    return entropy.flatten(1).mean(1) if entropy.dim() > 1 else entropy


def position_entropy(output: Any, t: int) -> Tensor:
    """Entropy of softmax(t output) relative to that of equal classes: shape (N, ...), between 0 and 1.

    Args:
        output: mean logits of steps 1..t, shape (N, C), or (N, C, ...) where every position has classes.
        t: number of steps; the sum of the logits is what the entropy is taken of, so that it falls with time.

    Raises:
        InvalidInput: the output is not one tensor of class scores.
    """
    logits = (t * class_scores(output, "IAT, which decides by the entropy of class scores,")).log_softmax(1)
    return -(logits.exp() * logits).sum(1) / math.log(output.shape[1])


def class_scores(output: Any, who: str) -> Tensor:
    """An output as scores of classes, in float32 at least. Raises InvalidInput unless it is one tensor of them."""
    if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[1] < 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InvalidInput(
            f"{who} needs a network whose output has shape (N, classes) or (N, classes, ...) with at least 2 classes; "
            f"this one's is {shape}. The rule 'settled' looks at how much the output still moves."
        )
    return output.to(torch.promote_types(output.dtype, torch.float32))


def entropy_rule(entropy: Sequence[float], base: float, scale: float, delta: float, sign: Sign = "code") -> EntropyRule:
    """IAT's rule from the mean entropies of correct predictions, E_1..E_T (Eq. 16 and 18 of the paper).

    `sign` is how the paper is read. The released code and Fig. 9 take entropy as it is, so that alpha_t rises with
    t; the text of section 3.3 leaves out its minus, so that alpha_t falls.
    """
    expected = torch.tensor(entropy, dtype=torch.float64)
    if sign == "paper_text":
        expected = -expected
    return EntropyRule(tuple((base + scale * torch.exp(-(expected - expected.min()) / delta)).tolist()))
