"""Other simulators replay the golden trace of a network in NIR spike for spike."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion.exchange.hdf5 import read_trace
from conversion.exchange.nir_export import export_nir
from conversion.exchange.trace import as_data, run_in_double
from tests.conversion.exchange.networks import small
from tests.conversion.toys import seeded

nir = pytest.importorskip("nir", reason="NIR needs the extra 'nir': pip install -e '.[nir]'")


def replayed(
    step: Callable[[Tensor, Any], Any], module: nn.Module, inputs: Tensor, T: int, neurons: type[nn.Module]
) -> dict[str, Tensor]:  # fmt: skip
    """Spikes of another simulator's neurons, shape (N, T, neurons), one sample after the other.

    NIR counts axes without that of the batch, and these simulators take a Flatten as it stands.
    """
    trains: dict[str, list[Tensor]] = {}
    hooks = [
        part.register_forward_hook(lambda _, __, out, name=name: trains[name].append(_first(out).detach().flatten()))
        for name, part in module.named_modules()
        if isinstance(part, neurons)
    ]
    found: dict[str, list[Tensor]] = {}
    for sample in inputs.float():
        trains.update({name: [] for name, part in module.named_modules() if isinstance(part, neurons)})
        state: Any = None
        for part in module.modules():
            if hasattr(part, "reset_mem"):
                part.reset_mem()  # type: ignore[operator]
        for _ in range(T):
            state = step(sample, state)
        for name, train in trains.items():
            found.setdefault(name, []).append(torch.stack(train) > 0)
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(each) for name, each in found.items()}


def _first(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


def traced(path: Path) -> tuple[Any, dict[str, Tensor], Tensor, int]:
    """A graph as it is read from a file, the spikes of its golden trace, the inputs, T."""
    network, inputs = small(), seeded((4, 2, 6, 6), 2)
    run = run_in_double(network, inputs)
    # Far from ties for float32, in which the others compute.
    assert run.margin > 1e-5
    nir.write(path, export_nir(network))
    nir.write_data(path.with_suffix(".trace"), as_data(run, inputs))
    nodes = read_trace(path.with_suffix(".trace")).nodes
    spikes = {
        name: torch.from_numpy(node.observables["spikes"].data)
        for name, node in nodes.items()
        if "spikes" in node.observables
    }
    return nir.read(path), spikes, inputs, network.T


def require_replayed(found: dict[str, Tensor], spikes: dict[str, Tensor]) -> None:
    assert found.keys() == spikes.keys()
    for name, train in spikes.items():
        assert bool(train.any()) and torch.equal(found[name], train), name


def test_snntorch_replays_the_trace_spike_for_spike(tmp_path: Path) -> None:
    snntorch = pytest.importorskip("snntorch", reason="the replay needs snntorch: pip install snntorch nirtorch")
    pytest.importorskip("nirtorch", reason="snntorch reads NIR with nirtorch: pip install nirtorch")
    from snntorch.import_nir import import_from_nir

    graph, spikes, inputs, T = traced(tmp_path / "net.nir")
    with contextlib.redirect_stdout(io.StringIO()):
        module = import_from_nir(graph)
    leaky = [part for part in module.modules() if isinstance(part, snntorch.Leaky)]
    assert len(leaky) == 2 and all(part.reset_mechanism == "subtract" for part in leaky)
    for part in leaky:
        # snntorch 1.0.0 reads an IF as a leaky neuron of beta = 0.9 that hands its state to the next layer, and that,
        # where a potential is above the threshold even after a reset, waits for twice the threshold.
        part.beta.data.fill_(1.0)
        part.init_hidden = True
        part.reset_delay = True
    with torch.no_grad():
        # Its neurons keep their own state.
        found = replayed(lambda x, _: module(x) and None, module, inputs, T, snntorch.Leaky)
    require_replayed(found, spikes)


def test_norse_replays_the_trace_spike_for_spike(tmp_path: Path) -> None:
    pytest.importorskip("norse", reason="the replay needs norse: pip install norse")
    from norse.torch.functional.iaf import IAFFeedForwardState
    from norse.torch.functional.reset import reset_subtract
    from norse.torch.functional.threshold import threshold
    from norse.torch.module.iaf import IAFCell
    from norse.torch.utils.import_nir import from_nir

    def subtracting(current: Tensor, state: Any, p: Any, dt: float) -> tuple[Tensor, Any]:
        potential = state.v + current
        fired = threshold(potential - p.v_th, p.method, p.alpha)
        return fired, IAFFeedForwardState(v=reset_subtract(fired, potential, p.v_reset, p.v_th))

    graph, spikes, inputs, T = traced(tmp_path / "net.nir")
    module = from_nir(graph)
    for part in module.modules():
        if isinstance(part, IAFCell):
            # norse 1.1.0 resets the neuron of an IF to zero, whatever reset is asked for.
            part.activation = subtracting
    with torch.no_grad():
        found = replayed(lambda x, state: module(x, state)[1], module, inputs, T, IAFCell)
    require_replayed(found, spikes)
