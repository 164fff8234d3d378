"""The interface of a method: a named recipe of stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from conversion.calibration.statistics import Calibration
from conversion.capture.graph import ConversionGraph
from conversion.errors import InvalidInput, UnknownName
from conversion.registry import Registry
from conversion.simulation.network import SpikingNetwork
from conversion.stages import Stage


class Method(BaseModel, ABC):
    """A recipe with its options, which are the fields of the class.

    Attributes:
        timed: whether the result depends on T at all.
        trained: whether it is for networks alone that were trained to be converted, with QCFS activations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    timed: ClassVar[bool] = True
    trained: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name, and every option that is not at its default: "burst:phi=4"."""
        options = self.model_dump(exclude_defaults=True)
        return ":".join([self.name, ",".join(f"{key}={value}" for key, value in options.items())]).rstrip(":")

    @property
    def converges(self) -> bool:
        """Whether the spiking network approaches the ANN as T grows; not if thresholds are weighed against energy."""
        return True

    def steps_taken(self, T: int) -> int:
        """The most steps that a conversion for T takes: more than T where neurons try their input before they run."""
        return T

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the conversion, in this order."""

    def convert(self, graph: ConversionGraph, calibration: Calibration, T: int) -> SpikingNetwork:
        """Runs the stages on an ANN for T steps; the result's own T is how many steps to simulate.

        Raises:
            UnsupportedOp: the network holds an operation that cannot be applied step by step.
        """
        network = SpikingNetwork(graph, T)
        for stage in self.stages():
            network = stage(network, calibration.on(network.graph))
        return network


METHODS: Registry[type[Method]] = Registry("method")


def make_method(name: str, **options: Any) -> Method:
    """A method by name, with its options checked.

    Raises:
        UnknownName: no such method, or the method has no such option.
        InvalidInput: an option has a value that the method does not take, or is a part of the name.
    """
    plain, colon, listed = name.partition(":")
    if colon and plain in METHODS:
        keywords = ", ".join([f'"{plain}"', *filter(None, listed.split(","))])
        raise InvalidInput(f"'{name}' is a label; here options are keywords: {keywords}.")
    method = METHODS[name]
    for option in options:
        if option not in method.model_fields:
            raise UnknownName(f"option of method '{name}'", option, method.model_fields or ["(none)"])
    try:
        return method(**options)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0])
        if first["type"] == "missing":
            raise InvalidInput(f"Method '{name}' needs the option '{where}'.") from None
        raise InvalidInput(f"Method '{name}', option '{where}' = {first['input']!r}: {first['msg']}.") from None
