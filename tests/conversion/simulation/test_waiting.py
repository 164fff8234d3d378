"""Networks whose receivers hold values: both schedules, neurons that wait, their times, exits, and frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from conversion import Calibration, InvalidInput, SpikingNetwork, simulate
from conversion.codes import Code, Differential, Held, OneHot, Phase, SignedDigits, Unary
from conversion.counting.counts import Counts
from conversion.simulation.coded import CodedLayer
from conversion.simulation.exit_rules import ConfidenceRule, SettledRule, exit_steps, relative_change
from conversion.simulation.frames import Frames
from conversion.simulation.neuron import Neuron
from conversion.simulation.timing import timing
from conversion.stages import CodedNeurons
from conversion.stages.codes import Wait
from conversion.stages.energy_target import measure_exits
from tests.conversion.toys import Net, captured, seeded

CODES: list[tuple[Code, int, Wait]] = [
    (Held(), 3, 0), (Held(), 3, 1), (Held(), 2, "window"), (OneHot(5), 3, 1), (OneHot(5), 4, 2),
    (Differential(4), 3, 0), (SignedDigits(), 4, "window"), (Unary(), 4, "window"), (Phase(4, 2), 4, "window"),
    (Phase(3, 4), 2, "window"),
]  # fmt: skip
EVERY = pytest.mark.parametrize(("code", "T", "wait"), CODES)


def residual() -> tuple[SpikingNetwork, Tensor]:
    """A network whose shortcut passes two layers of neurons, with a maximum between others, and its inputs."""
    torch.manual_seed(0)
    model = Net(
        lambda net, x: net.head(
            net.pool(torch.relu(net.last(torch.relu(net.second(torch.relu(net.first(x)))) + net.first(x)))).flatten(1)
        ),
        first=nn.Conv2d(3, 6, 3, padding=1), second=nn.Conv2d(6, 6, 3, padding=1), last=nn.Conv2d(6, 4, 3, padding=1),
        pool=nn.MaxPool2d(2), head=nn.Linear(64, 5),
    )  # fmt: skip
    inputs = seeded((12, 3, 8, 8))
    return SpikingNetwork(captured(model, inputs[:1]), 1), inputs


def coded(code: Code, T: int, wait: Wait) -> tuple[SpikingNetwork, Tensor]:
    network, inputs = residual()
    stage = CodedNeurons(code, wait, phi=5, reading="every" if wait == 0 else "last")
    return stage(replace(network, T=T), Calibration(network.graph, seeded((8, 3, 8, 8), seed=1))), inputs


def counted(network: SpikingNetwork, inputs: Tensor | Frames, **options: object) -> Counts:
    counts = simulate(network, inputs, **options).counts  # type: ignore[arg-type]
    assert counts is not None
    return counts


@pytest.mark.slow
@EVERY
def test_sweep_equals_step(code: Code, T: int, wait: Wait) -> None:
    network, inputs = coded(code, T, wait)
    step, sweep = (simulate(network, inputs, schedule=schedule) for schedule in ("step", "sweep"))
    assert step.counts is not None and sweep.counts is not None
    assert step.counts.tally[..., 0].sum() > 0
    assert torch.equal(step.counts.tally, sweep.counts.tally)
    assert all(torch.equal(step.mean(t), sweep.mean(t)) for t in range(1, T + 1))


@pytest.mark.slow
@EVERY
def test_the_last_value_is_near_the_ann(code: Code, T: int, wait: Wait) -> None:
    """Calibrated on other samples, all of these tell values to about a tenth."""
    network, inputs = coded(code, T, wait)
    wanted = network.graph.run(inputs)
    found = simulate(network, inputs).mean(T)
    assert (found - wanted).norm() < 0.5 * (wanted - wanted.mean(0)).norm()


@pytest.mark.parametrize("code", [Held(), OneHot(5), SignedDigits()])
def test_a_window_is_a_quantised_network(code: Code) -> None:
    """Layers that wait for all of their input compute the ANN with every activation rounded to what a code can say."""
    network, inputs = coded(code, 4, "window")
    bare = network.with_neurons({n: replace(neuron, bias=0 * neuron.bias) for n, neuron in network.neurons.items()})

    def rounded(node: fx.Node, value: Tensor) -> Tensor | None:
        if node not in bare.neurons:
            return None
        layer = CodedLayer(bare.neurons[node], 4, 1)
        return [layer.step(value)[0] for _ in range(4)][-1]

    torch.testing.assert_close(simulate(bare, inputs).mean(4), network.graph.run(inputs, observe=rounded))


@pytest.mark.slow
def test_times_of_a_pipeline() -> None:
    """Three layers in a row, of which all but the first wait d steps: 1 + 2 d and T + 2 d."""
    for wait, delay in ((0, 0), (1, 2), (2, 4), ("window", 8)):
        network, inputs = coded(OneHot(5), 4, wait)  # type: ignore[arg-type]
        assert counted(network, inputs).delay == delay


def test_steps_that_nobody_reads_are_not_computed() -> None:
    """Before a layer that waits for its whole input only the last value matters."""
    network, _ = coded(SignedDigits(), 4, "window")
    times = timing(network, network.changing(constant_input=True), 4)
    convolutions = [node for node in network.body if "conv" in node.name and node in times.read]
    assert convolutions and all(set(times.read[node]) == {4} for node in convolutions)


def test_what_layers_sent_before_a_sample_left_is_counted() -> None:
    """All samples leave after their first answer: by then a layer that is d ahead has taken 1 + d steps."""
    network, inputs = coded(OneHot(5), 3, 1)
    whole = counted(network, inputs)
    leaving = replace(network, exit=ConfidenceRule(0.0))
    first = counted(leaving, inputs)
    assert first.steps.unique().tolist() == [1]
    assert whole.ahead == (2, 1, 0)
    # The first layer has taken all three steps, the second two, the last one.
    torch.testing.assert_close(first.total("spikes", 3), whole.total("spikes", 1))
    assert first.updates(3).unique().item() == sum(n * s for n, s in zip(whole.neurons, (3, 2, 1), strict=True))
    assert whole.updates(3).unique().item() == 3 * sum(whole.neurons)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "T", "wait"), [(Held(), 3, 0), (OneHot(5), 3, 1), (Phase(4, 2), 4, "window")])
def test_samples_that_leave_change_nothing_for_others(code: Code, T: int, wait: Wait) -> None:
    network, inputs = coded(code, T, wait)
    likely = simulate(network, inputs).mean(1).softmax(1).amax(1).sort().values
    # Between two samples, so that rounding decides nothing.
    alone = replace(network, exit=ConfidenceRule(likely[5:7].mean().item()))
    together = simulate(alone, inputs)
    assert len(together.steps.unique()) > 1 and together.counts is not None
    for sample in range(len(inputs)):
        single = simulate(alone, inputs[sample : sample + 1])
        assert single.steps.item() == together.steps[sample]
        torch.testing.assert_close(single.mean(T)[0], together.mean(T)[sample])
        assert single.counts is not None
        torch.testing.assert_close(single.counts.tally[:, -1, 0], together.counts.tally[:, -1, sample])


@pytest.mark.slow
@pytest.mark.parametrize(("code", "T", "wait"), [(Held(), 3, 0), (OneHot(5), 3, 1), (OneHot(5), 4, 2)])
@pytest.mark.parametrize("settled", [False, True])
def test_one_simulation_tells_every_exit(code: Code, T: int, wait: Wait, settled: bool) -> None:
    """Steps, outputs and energy of samples that leave are those of the same steps where none leaves."""
    network, inputs = coded(code, T, wait)
    data, whole = Calibration(network.graph, inputs), simulate(network, inputs)
    likely = whole.mean(1).softmax(1).amax(1).sort().values
    change = relative_change(whole.mean(2), whole.mean(1)).sort().values
    # Between two samples, so that rounding decides nothing.
    rule = SettledRule(change[5:7].mean().item()) if settled else ConfidenceRule(likely[5:7].mean().item())
    left = simulate(replace(network, exit=rule), inputs)
    assert torch.equal(exit_steps(rule, whole.outputs), left.steps) and len(left.steps.unique()) > 1
    (error, share), (_, all_of_it) = measure_exits(network, data, [rule, None])
    assert error == pytest.approx(relative_change(network.graph.run(inputs), left.mean(T)).mean().item(), rel=1e-5)
    assert left.counts is not None and whole.counts is not None
    spent = [c.macs(T) + c.flops(T) / 2 + c.total("synops_unary", T) * 0.9 / 4.6 for c in (left.counts, whole.counts)]
    assert share / all_of_it == pytest.approx(float(spent[0].mean() / spent[1].mean()))


def test_frames_are_answered_by_their_mean_so_far() -> None:
    """After the last frame a network of held values answers what it would to the mean of all, in the limit."""
    network, _ = coded(Held(), 3, 0)
    fine = replace(
        network,
        neurons={node: replace(n, threshold=torch.full((3, 1), 1e-6).double(), phi=60000, bias=torch.zeros(1).double())
                 for node, n in network.neurons.items()},
    )  # fmt: skip
    frames = Frames(seeded((4, 3, 3, 8, 8), seed=2) * 1e-2)
    torch.testing.assert_close(simulate(fine, frames).mean(3), fine.graph.run(frames.mean), rtol=1e-4, atol=1e-5)


def test_a_window_waits_for_the_last_frame() -> None:
    """Its answer to frames is that to their mean, T steps later than to a constant input."""
    network, _ = coded(SignedDigits(), 4, "window")
    frames = Frames(seeded((5, 4, 3, 8, 8), seed=2))
    over_time, constant = simulate(network, frames), simulate(network, frames.mean)
    torch.testing.assert_close(over_time.mean(4), constant.mean(4))
    assert over_time.counts is not None and constant.counts is not None
    assert (over_time.counts.delay, constant.counts.delay) == (12, 8)


def test_codes_and_rates_do_not_mix() -> None:
    network, _ = coded(Held(), 3, 0)
    (first, *_) = network.neurons
    rate = Neuron(torch.ones(1), 1, torch.zeros(1))
    with pytest.raises(InvalidInput, match="all of them codes, or none"):
        network.with_neurons({**network.neurons, first: rate})
    with pytest.raises(InvalidInput, match="nonlinear='instantaneous'"):
        replace(network, nonlinear="difference")
    with pytest.raises(InvalidInput, match="no step is the last"):
        replace(rate, wait=1)
    with pytest.raises(InvalidInput, match="codes are for T = 3"):
        simulate(network, seeded((1, 3, 8, 8)), T=4)
