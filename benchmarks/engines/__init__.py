"""Engines, which measure cells in this process, in processes of this machine, or on a cluster."""

from __future__ import annotations

from benchmarks.choices import EngineName
from benchmarks.engines.base import Engine, EngineMissing, shared_gpus, usual_workers
from benchmarks.engines.inline import Inline
from benchmarks.engines.local import Local
from benchmarks.engines.ray import Ray
from conversion.errors import InvalidInput

__all__ = ["Engine", "EngineMissing", "Inline", "Local", "Ray", "make_engine", "usual_workers"]


def make_engine(
    name: EngineName, *, workers: int | None = None, device: str = "cpu", time_limit: float, address: str | None = None
) -> Engine:
    """An engine by name.

    Args:
        workers: number of cells measured at once. When left out: with `local` one for each GPU, or each core up to 4;
            with `ray` as many as the cluster holds.
        device: "cuda" shares the GPUs out among workers; "cuda:1" is that one for all.
        time_limit: seconds that a cell may take, except inline.
        address: address of a Ray cluster.

    Raises:
        EngineMissing: the engine's library is not installed.
        InvalidInput: an option that the engine does not have.
    """
    if address is not None and name != "ray":
        raise InvalidInput(f"--address names a Ray cluster, but the engine is {name}; add --engine ray.")
    if workers is not None and name == "inline":
        raise InvalidInput("Engine inline measures one cell after another; drop --workers or take another engine.")
    if name == "inline":
        return Inline()
    if name == "ray":
        return Ray(workers, time_limit, gpus=1 if device.startswith("cuda") else 0, address=address)
    return Local(workers or usual_workers(device), time_limit, shared_gpus(device))
