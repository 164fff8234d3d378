"""The step schedule of networks whose neurons wait: a pipeline, in which every layer works on a step of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx

from conversion.capture.graph import Values, evaluate
from conversion.capture.layout import keep
from conversion.simulation.network import SpikingNetwork
from conversion.simulation.schedules import differences
from conversion.simulation.timing import timing


class Pipeline:
    """Computes all nodes at one time after another; at time t a node that lags l steps takes its step t - l.

    Steps whose values nobody reads are left out: behind a layer that waits for all of its input, all but the last.

    Args:
        network: says which nodes are layers of neurons, and how long they wait.
        frames: one input for all steps, or one for each of them.
        spike: given a layer of neurons and what it knows of its current, returns its output.
        rehearse: given a layer that tries its input before it runs, and its first currents, lets it try.
        T: number of steps.
    """

    def __init__(
        self, network: SpikingNetwork, frames: Sequence[Tensor], spike: Callable[[fx.Node, Tensor], Tensor],
        rehearse: Callable[[fx.Node, Sequence[Tensor]], None], T: int,
    ) -> None:  # fmt: skip
        self.network, self.frames, self.spike, self.rehearse, self.T = network, list(frames), spike, rehearse, T
        changing = network.changing(constant_input=len(frames) == 1)
        self.timing = timing(network, changing, T)
        self.constants = network.start(frames[0])
        for node in network.body:
            if node not in changing:
                self.constants[node] = evaluate(node, self.constants)
        self.per_step = [node for node in network.body if node in changing]
        self.known: dict[fx.Node, dict[int, Any]] = defaultdict(dict)
        self.differences = differences(network, changing)
        self.time, self.t = 0, 0

    def advance(self) -> Values:
        """The values of the readout nodes at the next step of the output."""
        self.t += 1
        while self.time < self.timing.latency + self.t:
            self.time += 1
            self._tick()
        return {node: self._value(node, self.t) for node in self.network.readout}

    def keep(self, samples: Tensor) -> None:
        """Continues with the samples at the given indices alone."""
        self.frames = [frame[samples] for frame in self.frames]
        body = self.network.body
        kept = {node: keep(node, self.constants[node], samples) for node in body if node in self.constants}
        self.constants = self.network.start(self.frames[0]) | kept
        for node, steps in self.known.items():
            self.known[node] = {t: keep(node, value, samples) for t, value in steps.items()}
        for difference in self.differences.values():
            difference.keep(samples)

    def _tick(self) -> None:
        for node in self.per_step:
            t = self.time - self.timing.lag[node]
            if not 1 <= t <= self.T:
                continue
            if node in self.network.neurons:
                neuron, source = self.network.neurons[node], node.all_input_nodes[0]
                if t == 1 and neuron.rehearsal:
                    self.rehearse(node, [self._value(source, tried) for tried in range(1, neuron.rehearsal + 1)])
                self.known[node][t] = self.spike(node, self._value(source, min(t + neuron.wait, self.T)))
            elif t in self.timing.read[node]:
                values = {source: self._value(source, t) for source in node.all_input_nodes}
                difference = self.differences.get(node)
                self.known[node][t] = evaluate(node, values) if difference is None else difference.step(values)
        for node, steps in self.known.items():
            for t in [t for t in steps if self._last_use(node, t) <= self.time]:
                del steps[t]

    def _value(self, node: fx.Node, t: int) -> Any:
        if node is self.network.graph.input and len(self.frames) > 1:
            return self.frames[t - 1]
        return self.constants[node] if node in self.constants else self.known[node][t]

    def _last_use(self, node: fx.Node, t: int) -> int:
        """The time at which step t of a node is read for the last time; that of the output is read one time later."""
        lag, times = self.timing.lag, [0]
        if node in self.network.readout:
            times.append(t + self.timing.latency + 1)
        for user in node.users:
            if user in lag and user in self.network.neurons:
                # The last step is what a layer knows from then on.
                step = self.T if t == self.T else t - self.network.neurons[user].wait
                times.append(step + lag[user])
            elif user in lag:
                times.append(t + lag[user])
        return max(times)
