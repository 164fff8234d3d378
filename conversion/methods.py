"""Conversion methods: named recipes of stages. A new method is one class here or in a package of your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from conversion.calibration import Calibration
from conversion.errors import InvalidInput, UnknownName
from conversion.graph import ConversionGraph
from conversion.network import SpikingNetwork
from conversion.neuron import Start
from conversion.registry import Registry
from conversion.stages import BiasCorrection, Quantise, Stage, Thresholds
from conversion.thresholds import Rule


class Method(BaseModel, ABC):
    """A recipe with its options, which are the fields of the class.

    Attributes:
        timed: whether the result depends on T at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    timed: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The name, and every option that is not at its default: "burst:phi=4"."""
        options = self.model_dump(exclude_defaults=True)
        return ":".join([self.name, ",".join(f"{key}={value}" for key, value in options.items())]).rstrip(":")

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """What is done to the network, in this order."""

    def convert(self, graph: ConversionGraph, calibration: Calibration, T: int) -> SpikingNetwork:
        """Runs the stages on an ANN for T steps; the result's own T is how many steps to simulate.

        Raises:
            UnsupportedOp: the network holds an operation that cannot be applied step by step.
        """
        network = SpikingNetwork(graph, T)
        for stage in self.stages():
            network = stage(network, calibration)
        return network


METHODS: Registry[type[Method]] = Registry("method")


@METHODS.register("ann")
class Ann(Method):
    """The ANN itself, in floating point: the reference of every table."""

    name = "ann"
    timed = False

    def stages(self) -> tuple[Stage, ...]:
        return ()


class Spiking(Method):
    """Options shared by the methods that put one kind of neuron everywhere."""

    phi: int = Field(ge=1, description="most spikes per step")
    channelwise: bool = Field(default=True, description="one threshold per channel instead of per layer")
    thresholds: Rule = Field(default="mse", description="how thresholds are chosen")
    light: bool = Field(default=True, description="correct biases (light calibration)")
    signed: bool = Field(default=False, description="neurons may take spikes back")

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds(self.thresholds, self.phi, self.channelwise, signed=self.signed)
        return (place, BiasCorrection()) if self.light else (place,)


@METHODS.register("burst")
class Burst(Spiking):
    """Burst neurons with the same phi in every layer, rounding-aware thresholds and light calibration."""

    name = "burst"


@METHODS.register("calibration")
class CalibrationLight(Method):
    """SNN Calibration (Li et al., ICML 2021), 'light', as the paper's baseline: one spike per step.

    Thresholds minimise the squared error of a flooring quantiser on the published 95-step grid, one per layer; half
    a threshold enters as a current. Batches are pooled where the released code averages seven with weights 0.9^i.
    """

    name = "calibration"
    channelwise: bool = Field(default=False, description="one threshold per channel instead of per layer")
    start: Start = Field(default="shift", description="how neurons get their half threshold")
    light: bool = Field(default=True, description="correct biases (light calibration)")

    def stages(self) -> tuple[Stage, ...]:
        place = Thresholds("mse_floor", 1, self.channelwise, self.start)
        return (place, BiasCorrection()) if self.light else (place,)


@METHODS.register("quantised_ann")
class QuantisedAnn(Spiking):
    """The twin of a burst network: the ANN with activations rounded to T phi + 1 levels, in one pass.

    It has the burst network's thresholds and its own light calibration. No burst network at the same T and phi can
    be expected to do better, so the distance to it is what time costs.
    """

    name = "quantised_ann"

    def stages(self) -> tuple[Stage, ...]:
        place, *correction = super().stages()
        return (place, Quantise(), *correction)


def make_method(name: str, **options: Any) -> Method:
    """A method by name, with its options checked.

    Raises:
        UnknownName: no such method, or the method has no such option.
        InvalidInput: an option has a value that the method does not take.
    """
    method = METHODS[name]
    for option in options:
        if option not in method.model_fields:
            raise UnknownName(f"option of method '{name}'", option, method.model_fields or ["(none)"])
    try:
        return method(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise InvalidInput(f"Method '{name}' needs the option '{where}'.") from None
        raise InvalidInput(f"Method '{name}', option '{where}' = {first['input']!r}: {first['msg']}.") from None


def convert(
    graph: ConversionGraph, batches: Iterable[Tensor] | Tensor, method: str, *, T: int, **options: Any
) -> SpikingNetwork:
    """Converts a captured ANN into a spiking network.

    Args:
        graph: of `capture`.
        batches: calibration inputs as the network is fed, from the training set, each of shape (N, ...).
        method: a name in METHODS.
        T: number of timesteps.
        options: of the method.

    Raises:
        UnknownName: there is no such method or option.
        InvalidInput: T or phi below 1, no calibration sample, or a value that is not finite.
        UnsupportedOp: the network holds an operation that cannot be applied step by step.
    """
    return make_method(method, **options).convert(graph, Calibration(graph, batches), T)
