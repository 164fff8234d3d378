"""IAT: confident samples stop early (section 3.3 of the paper).

With Z_t the sum of the logits of steps 1..t and e_t the entropy of softmax(Z_t) divided by that of C equal classes, a
sample leaves at the first step t with 1 - e_t > alpha_t. The bar

    alpha_t = base + scale exp(-(E_t - min E) / delta)

follows how sure correct predictions of held-out training samples are at step t: E_t is their mean entropy.

The paper defines this for classes. For networks that classify every position of a map we take the mean over all
positions as a sample's entropy, and every position that is right as a correct prediction; this reading is ours. A map
of one position is the paper's case. A sample leaves with all its positions at once, padded ones among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from conversion.errors import InvalidInput

Sign = Literal["code", "paper_text"]


@dataclass(frozen=True)
class ExitRule:
    """The bars of every step.

    Attributes:
        alpha: alpha_t for t = 1..T; a simulation of more steps goes on with the last.
    """

    alpha: tuple[float, ...]

    def leaves(self, output: Tensor, t: int) -> Tensor:
        """Which samples are done, bool of shape (N,), from the mean logits of steps 1..t, shape (N, C, ...)."""
        return 1 - normalised_entropy(output, t) > self.alpha[min(t, len(self.alpha)) - 1]


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
    if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[1] < 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InvalidInput(
            f"IAT decides by the entropy of class scores, so it needs a network whose output has shape (N, classes) "
            f"or (N, classes, ...) with at least 2 classes; this one's is {shape}. Use the same method without IAT."
        )
    logits = (t * output.to(torch.promote_types(output.dtype, torch.float32))).log_softmax(1)
    return -(logits.exp() * logits).sum(1) / math.log(output.shape[1])


def exit_bars(entropy: Sequence[float], base: float, scale: float, delta: float, sign: Sign = "code") -> ExitRule:
    """alpha_t from the mean entropies of correct predictions, E_1..E_T (Eq. 16 and 18 of the paper).

    `sign` is how the paper is read. The released code and Fig. 9 take entropy as it is, so that the bar rises with t;
    the text of section 3.3 leaves out its minus, so that the bar falls.
    """
    expected = torch.tensor(entropy, dtype=torch.float64)
    if sign == "paper_text":
        expected = -expected
    return ExitRule(tuple((base + scale * torch.exp(-(expected - expected.min()) / delta)).tolist()))
