"""Methods whose receivers hold a value: ours, and DCGS as a point of the same space (docs/codes.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conversion.codes import Binary, Differential, Held, OneHot, Phase, SignedDigits
from conversion.errors import InvalidInput
from conversion.methods.base import METHODS, Method
from conversion.methods.options import Between, Phi
from conversion.stages import AtEnergy, CodedNeurons, ConfidentExit, EncodersBetween, NormalFit, Stage, Tuning
from conversion.stages.codes import Wait

Energy = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="the weight of energy; 0 minimises the error alone")
]
Exit = Annotated[
    float | None,
    Field(gt=0, le=1, description="probability of the likeliest class with which samples exit; null is never"),
]
Waits = Annotated[Wait, Field(description="steps that a layer waits for its input, or 'window' for all of it")]
Iterations = Annotated[int, Field(ge=1, description="updates, of 64 samples each")]
Levels = Annotated[int, Field(ge=1, le=24, description="amplitudes of a spike, each half of the one before")]


class Coded(Method):
    """A method whose neurons have a code of as many steps as T says, with samples that may exit."""

    exit: Exit = None
    target: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="share of the ANN's energy to aim at, by the weight of energy; null keeps that as it is",
    )  # fmt: skip
    between: Between = False

    @property
    def converges(self) -> bool:
        return False  # The error that is left depends on the amplitudes of the code.

    def neurons(self) -> CodedNeurons:
        """The stage that puts the neurons."""
        raise NotImplementedError

    def stages(self) -> tuple[Stage, ...]:
        return (EncodersBetween(), *self.coded()) if self.between else self.coded()

    def coded(self) -> tuple[Stage, ...]:
        """The stages that put the neurons, and what comes after them."""
        leave = None if self.exit is None else ConfidentExit(self.exit)
        if self.target is not None:
            return (AtEnergy(self.neurons(), leave, self.target),)
        return (self.neurons(),) if leave is None else (self.neurons(), leave)


@METHODS.register("held")
class HeldValue(Coded):
    """Ours: receivers hold a value, which bursts of falling thresholds correct step by step; confident samples exit.

    The first step is coarse and cheap. Later ones refine what it said, and take back what it said too much. No layer
    waits, unless told to. It looks at no labels.
    """

    exit: Exit = 0.99
    energy: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="factor of the weights of energy at every step")
    ] = 1.0
    phi: Phi = 7
    wait: Waits = 0

    def neurons(self) -> CodedNeurons:
        return CodedNeurons(Held(), self.wait, self.phi, "every", self.energy)


class Tuned(Coded):
    """A method whose network is tuned to the ANN's own answers, without labels, once its neurons are fitted."""

    target: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="share of the ANN's energy beyond which tuning charges for it; null is what it takes untuned",
    )  # fmt: skip
    iterations: Iterations = 500

    def coded(self) -> tuple[Stage, ...]:
        tuning = Tuning(self.target, self.iterations)
        return (self.neurons(), tuning) if self.exit is None else (self.neurons(), tuning, ConfidentExit(self.exit))


@METHODS.register("held_tuned")
class HeldTuned(Tuned, HeldValue):
    """Ours: the same, with thresholds, biases and weights tuned to the ANN's own answers; no labels either.

    One step of it, with no exit, is the quantised network with the levels of a burst, tuned alike.
    """

    exit: Exit = 0.99


@METHODS.register("phase")
class PhaseCode(Coded):
    """Ours: one spike for each value, whose step and level say its amplitude; layers wait for their whole input.

    What it computes is a quantised network, with additions and shifts alone. The amplitudes of T steps with some levels
    each are `per_octave` to an octave.
    """

    energy: Energy = 0.1
    per_octave: int = Field(default=8, ge=1, le=64, description="amplitudes between a value and its half")
    levels: int = Field(default=5, ge=1, description="amplitudes of each step")

    def neurons(self) -> CodedNeurons:
        return CodedNeurons(Phase(self.per_octave, self.levels), "window", energy=self.energy)


@METHODS.register("phase_tuned")
class PhaseTuned(Tuned, PhaseCode):
    """Ours: the same, with thresholds, biases and weights tuned to the ANN's own answers; no labels either.

    With a target, tuning charges for spikes beyond it, and values become silent that the answer can do without.
    """

    iterations: Iterations = 300


@METHODS.register("bit_serial")
class BitSerial(Coded):
    """Ours: T digits of each value, one a step; layers wait for their whole input.

    What it computes is a network quantised to 2^T levels, or to the 2^(T+1) of both signs.
    """

    energy: Energy = 0.02
    signed: bool = Field(default=True, description="digits -1, 0 and 1, of which fewer are needed")
    wait: Waits = "window"

    def neurons(self) -> CodedNeurons:
        return CodedNeurons(SignedDigits() if self.signed else Binary(), self.wait, energy=self.energy)


@METHODS.register("sigma_delta")
class SigmaDelta(Coded):
    """Ours: each step sends the power of two that is nearest to the error of the value held; layers wait one step."""

    energy: Energy = 0.05
    levels: Levels = 6
    wait: Waits = 1

    def neurons(self) -> CodedNeurons:
        return CodedNeurons(OneHot(self.levels), self.wait, energy=self.energy)


@METHODS.register("dcgs")
class Dcgs(Coded):
    """Differential coding with graded units (DCGS, Huang et al.): powers of two, those of step t worth 1 / t.

    Thresholds minimise the squared error for the T that is run, on training images, and biases are corrected. With
    `thresholds=normal` they are fitted as published, to two moments of every channel, and nothing is corrected; the
    release collects these on the **test** images, for the last T of the run, and reads all smaller T from it. It spends
    a pass with a black image before the first step, which here is the bias. Negative spikes follow the value's
    activation function, where the release compares the membrane alone.
    """

    energy: Energy = 0.0
    levels: Levels = 4
    thresholds: Literal["error", "normal"] = Field(
        default="error",
        description="of least squared error on activations, or the published fit to a normal distribution",
    )

    @model_validator(mode="after")
    def _refuse_weights_of_energy(self) -> Self:
        if self.thresholds == "normal" and (self.energy or self.target is not None):
            raise InvalidInput(
                "Thresholds fitted to a normal distribution know no energy; leave out `energy` and `target`, or take "
                "thresholds=error."
            )
        return self

    def neurons(self) -> CodedNeurons:
        return CodedNeurons(Differential(self.levels), energy=self.energy)

    def coded(self) -> tuple[Stage, ...]:
        if self.thresholds == "error":
            return super().coded()
        fitted = NormalFit(2**self.levels, Differential(self.levels))
        return (fitted,) if self.exit is None else (fitted, ConfidentExit(self.exit))
