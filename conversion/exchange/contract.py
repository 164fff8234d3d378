"""The contract that a NIR file of ours carries: what a simulator has to do to give the same spikes.

NIR describes neurons in continuous time and leaves to simulators how they discretise them, whether a reset subtracts
the threshold or sets the potential to zero, and how long an input is shown. We write what we mean into the metadata of
every node, as scalars and strings that HDF5 holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conversion.errors import InvalidInput

VERSION = 1
MOST_STEPS = 2**20


@dataclass(frozen=True)
class NodeContract:
    """What holds for one node.

    Attributes:
        T: number of timesteps.
        order: position of the node in a step. Nodes are computed in this order, and what one sends in a step reaches
            the later ones in the same step.
        module: where the node comes from in the network that was converted.
    """

    T: int
    order: int
    module: str

    def metadata(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class NeuronContract(NodeContract):
    """What holds for a layer of neurons: at each step v += current; v >= v_threshold fires one spike and subtracts
    v_threshold; v starts at zero."""

    reset: str = "subtract"
    fires_at: str = ">="
    spikes_per_step: int = 1
    initial_potential: float = 0.0
    dt: float = 1.0


@dataclass(frozen=True)
class GraphContract:
    """What holds for the network.

    Attributes:
        T: number of timesteps, at each of which the input is the same.
        first, last: steps whose mean output is the network's answer, counted from 1.
        half_threshold: whether biases contain half a threshold, spread over T steps: then spikes depend on T.
    """

    T: int
    first: int
    last: int
    half_threshold: bool
    producer: str = "adaptive-calibration-bench"
    version: int = VERSION
    input: str = "the same at every step"
    output: str = "the mean over the steps from first to last"

    def metadata(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, metadata: Mapping[str, Any], where: str) -> GraphContract | None:
        """The contract in a graph's metadata, None where it has none.

        Raises:
            InvalidInput: it is one of a version that this one does not know, or contradicts itself.
        """
        if not isinstance(metadata, Mapping) or metadata.get("producer") != cls.producer:
            return None
        try:
            T, first, last, version = (_whole(metadata[name]) for name in ("T", "first", "last", "version"))
            half = _whole(metadata["half_threshold"])
            if half not in (0, 1):
                raise ValueError(f"half_threshold is {half}")
            found = cls(T, first, last, bool(half), version=version)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"{where} has a contract that cannot be read ({error}); export the network again."
            ) from None
        if found.version != VERSION:
            raise InvalidInput(
                f"{where} has a contract of version {found.version}, and this code reads {VERSION}; export the network "
                "again, or read it with the release that wrote it."
            )
        if not 1 <= found.first <= found.last <= found.T <= MOST_STEPS:
            raise InvalidInput(
                f"{where} has a contract of {found.T} steps that reads steps {found.first} to {found.last}; export the "
                "network again."
            )
        return found


def _whole(value: Any) -> int:
    """A whole number or truth value, as HDF5 holds it; other numbers are not rounded."""
    found = int(value)
    if isinstance(value, str | bytes) or found != value:
        raise ValueError(f"{value!r} is no whole number")
    return found


def breaks(metadata: Mapping[str, Any]) -> str | None:
    """The name of what a layer of neurons asks for and we do not do, by its metadata; None where there is nothing."""
    ours = NeuronContract(1, 0, "").metadata()
    for name in ("reset", "fires_at", "spikes_per_step", "initial_potential", "dt"):
        if name in metadata and metadata[name] != ours[name]:
            return f"{name} {metadata[name]}"
    return None
