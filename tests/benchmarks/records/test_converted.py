"""Converted networks apart from evaluations: what is shared, what is kept on disk, and what makes it void."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.execution.workbench import Workbench
from benchmarks.freshness.sources import Sources
from benchmarks.records.converted import ConversionCache, spec, stage_parts
from benchmarks.suites.cell import Cell
from conversion import Calibration, SpikingNetwork, capture, load, simulate
from conversion.calibration import progress
from conversion.stages import SSC, AdaFire, BiasCorrection, EarlyExit, Stage, Thresholds
from run_all import main
from tasks.images.digits import Digits

pytestmark = pytest.mark.slow


def cell(method: str = "burst", T: int = 2, limit: int = 40, **options: Any) -> Cell:
    given = {"phi": 2, **options} if method == "burst" else options
    return Cell(task="digits", network="digits_convnet", method=method, options=given, T=T, seed=0, limit=limit,
                calibration=16)  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "converted"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every stage that is run."""
    names: list[str] = []
    for stage in (AdaFire, BiasCorrection, EarlyExit, SSC, Thresholds):

        def noted(
            self: Any, network: SpikingNetwork, calibration: Calibration, call: Any = stage.__call__
        ) -> SpikingNetwork:
            names.append(type(self).__name__)
            result: SpikingNetwork = call(self, network, calibration)
            return result

        monkeypatch.setattr(stage, "__call__", noted)
    return names


SHARED = Workbench(None, None, "cpu", "float32")


def bench(folder: Path | None) -> Workbench:
    """A workbench that knows nothing of conversions but what is on disk; what takes longest to make is shared."""
    made = Workbench(None, None, "cpu", "float32", folder)
    made.network, made.calibration = SHARED.network, SHARED.calibration
    made.source = made.conversions.sources = SHARED.source
    return made


def counts(network: SpikingNetwork) -> torch.Tensor:
    x = torch.randn(8, *network.graph.example.shape[1:], generator=torch.Generator().manual_seed(0))
    found = simulate(network, x).counts
    assert found is not None
    return found.tally


def test_more_samples_and_another_run_never_calibrate(
    kept: Path, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = cell("adafire_ssc_iat", phi=2, phi_init=3, samples=4)
    first = bench(kept).measure(method, lambda _: None).record
    # Searches run stages by themselves, before the stage that applies what they found.
    assert run.count("AdaFire") == run.count("SSC") == 1 and run.index("AdaFire") < run.index("SSC")
    assert run[-3:] == ["SSC", "BiasCorrection", "EarlyExit"]
    run.clear()

    def refused(self: Digits, count: int, seed: int) -> None:
        raise AssertionError("the calibration set was asked for")

    monkeypatch.setattr(Digits, "calibration", refused)
    # All its own, as another process has it.
    other = Workbench(None, None, "cpu", "float32", kept)
    again = other.measure(method, lambda _: None).record
    more = other.measure(method.model_copy(update={"limit": 80}), lambda _: None).record
    assert run == []
    assert first.report != []
    assert (again.report, again.totals, again.layers, again.exits) == (
        first.report,
        first.totals,
        first.layers,
        first.exits,
    )
    assert more.report == first.report
    assert more.metrics["accuracy"].n == 80
    # It is charged for what it took, not for what reading it takes.
    assert again.convert_s == more.convert_s == first.convert_s > 0


def test_it_is_said_how_far_a_conversion_is(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0)
    said: list[str] = []
    bench(kept).measure(cell("adafire", phi=2, phi_init=3, samples=16), lambda _: None, said.append)
    assert said[0] == "converts: stage 1 of 2, AdaFire" and said[-2:] == ["converts: error of each layer", ""]
    search = [line for line in said if "sensitivity: layer 1 of " in line]
    assert search and search[-1].endswith("s left")
    assert said.index(search[-1]) < said.index("converts: stage 2 of 2, BiasCorrection")
    said.clear()
    bench(kept).measure(cell("adafire", phi=2, phi_init=3, samples=16), lambda _: None, said.append)
    assert said == [""]  # It is all there.


def test_methods_that_begin_alike_share_their_stages_across_processes(kept: Path, run: list[str]) -> None:
    options = {"phi": 2, "phi_init": 3, "samples": 4}
    adafire = bench(kept).convert(cell("adafire", **options))
    run.clear()
    searched = bench(kept).convert(cell("adafire_ssc", **options))
    assert run == ["SSC", "BiasCorrection"]
    assert searched.seconds > adafire.seconds > 0
    alone = bench(None).convert(cell("adafire_ssc", **options))
    assert torch.equal(counts(alone.network), counts(searched.network))
    assert alone.report == searched.report
    # And the other way round: what is a part of a finished conversion is there for a shorter method.
    run.clear()
    bench(kept).convert(cell(light=False))
    assert run == ["Thresholds"]
    run.clear()
    bench(kept).convert(cell())
    assert run == ["BiasCorrection"]
    run.clear()
    short = bench(kept).convert(cell(light=False))
    assert run == []
    assert short.report


@pytest.mark.parametrize(
    "change",
    [
        {"T": 3}, {"seed": 1}, {"calibration": 17}, {"options": {"phi": 3}}, {"options": {"phi": 2, "start": "shift"}},
        {"options": {"phi": 2, "channelwise": False}},
    ],
)  # fmt: skip
def test_another_conversion_is_another_network(kept: Path, run: list[str], change: dict[str, Any]) -> None:
    bench(kept).convert(cell())
    run.clear()
    bench(kept).convert(Cell.model_validate(cell().model_dump() | change))
    assert run == ["Thresholds", "BiasCorrection"]


@pytest.mark.parametrize("key", ["weights", "data", "precision", "device", "torch"])
def test_other_inputs_make_another_network(
    kept: Path, run: list[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    bench(kept).convert(cell())
    run.clear()
    other = bench(kept)
    inputs = other._inputs(cell())
    monkeypatch.setattr(other, "_inputs", lambda cell: inputs | {key: "other"})
    other.convert(cell())
    assert run == ["Thresholds", "BiasCorrection"]


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        (Thresholds, ["Thresholds", "BiasCorrection"]),
        # The stages before it are still good.
        (BiasCorrection, ["BiasCorrection"]),
        (capture, ["Thresholds", "BiasCorrection"]),
    ],
)
def test_other_code_makes_another_network(
    kept: Path, run: list[str], monkeypatch: pytest.MonkeyPatch, changed: Any, again: list[str]
) -> None:
    bench(kept).convert(cell())
    run.clear()
    own = Sources.of

    def of(self: Sources, *roots: Any) -> dict[str, str]:
        found = own(self, *roots)
        touched = any(changed in (root, type(root)) for root in roots)
        # What the workbench prepares a network with reaches `capture`.
        return found | {"x": "new"} if touched or (changed is capture and len(roots) > 1) else found

    monkeypatch.setattr(Sources, "of", of)
    bench(kept).convert(cell())
    assert run == again


def test_a_report_of_other_code_is_made_again_from_the_same_network(
    kept: Path, run: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = bench(kept).convert(cell()).report
    run.clear()
    other = bench(kept)
    other.conversions._explained = "of other code"
    monkeypatch.setattr("benchmarks.records.converted.explain", lambda network, calibration: [])
    assert other.convert(cell()).report == [] != report
    assert run == []


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", [None, b"", b"{}", b"\x00" * 100])
def test_a_damaged_file_is_made_again(kept: Path, run: list[str], suffix: str, damage: bytes | None) -> None:
    first = bench(kept).convert(cell(light=False))
    (path,) = kept.glob(f"*{suffix}")
    run.clear()
    path.unlink() if damage is None else path.write_bytes(damage)
    assert torch.equal(counts(bench(kept).convert(cell(light=False)).network), counts(first.network))
    assert run == ["Thresholds"]
    run.clear()
    bench(kept).convert(cell(light=False))
    assert run == []


def test_a_folder_that_cannot_be_written_fails_no_cell_and_is_said_once(
    tmp_path: Path, run: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    full = bench(tmp_path / "file")
    for steps in (1, 2):
        record = full.measure(cell(T=steps), lambda _: None).record
        assert record.metrics["accuracy"].n == 40
    err = capfd.readouterr().err
    assert err.count("Converted networks are not kept from here on") == 1
    assert str(tmp_path / "file") in err
    # What is not on disk is still shared in memory.
    run.clear()
    full.convert(cell(T=2))
    assert run == []


def test_what_is_forgotten_is_done_again(kept: Path, run: list[str]) -> None:
    once = bench(kept)
    once.convert(cell())
    once.convert(cell(T=3))
    once.forget(cell())
    run.clear()
    for other in (once, bench(kept)):
        other.convert(cell(T=3))
    assert run == []
    once.convert(cell())
    assert run == ["Thresholds", "BiasCorrection"]


@dataclass(frozen=True)
class Scaled:
    """Somebody's own stage, of plain values unless `factor` is none."""

    factor: Any

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        neurons = {node: replace(n, threshold=n.threshold * float(self.factor)) for node, n in network.neurons.items()}
        return network.with_neurons(neurons)


def stages_of(last: Stage) -> tuple[Stage, ...]:
    return Thresholds(phi=2), last, BiasCorrection()


@pytest.mark.parametrize(
    ("stage", "again"),
    [
        (Scaled(2), []),
        (Scaled(torch.tensor(2.0)), ["BiasCorrection"]),
        (lambda network, calibration: Scaled(2)(network, calibration), ["BiasCorrection"]),
    ],
)
def test_stages_that_cannot_be_recognised_are_run_every_time(
    kept: Path, run: list[str], stage: Stage, again: list[str]
) -> None:
    own = bench(None)
    graph = own.network("digits", "digits_convnet").graph
    calibration = own.calibration("digits", "digits_convnet", 16, 0)
    basis: dict[str, str | int] = {"task": "digits", "network": "digits_convnet"}
    networks = []
    for _ in range(2):
        run.clear()
        conversions = ConversionCache(kept, Sources(), lambda: 0.0)
        networks.append(conversions.convert(stages_of(stage), graph, 2, basis, lambda: calibration).network)
    assert run == again
    assert torch.equal(counts(networks[0]), counts(networks[1]))


def test_stages_that_differ_have_other_names() -> None:
    specs = [
        Scaled(1), Scaled(1.0), Scaled(True), Scaled("1"), Scaled(None), Scaled((1,)), Scaled((1, 1)),
        Scaled(Scaled(1)), Scaled(float("nan")), Thresholds(), Thresholds(phi=(1, 2)), AdaFire(Thresholds()),
        AdaFire(Thresholds("max")),
    ]  # fmt: skip
    assert len({repr(spec(stage)) for stage in specs}) == len(specs)
    for value in ([1], {1: 2}, torch.zeros(1), len):
        with pytest.raises(TypeError, match="is no plain value"):
            spec(Scaled(value))


@dataclass(frozen=True)
class Elsewhere:
    """A stage that puts another ANN in the network's place."""

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        other = Workbench(None, None, "cpu", "float32").network("digits", "digits_convnet").graph
        return SpikingNetwork(other, network.T)


def test_a_network_of_another_graph_is_not_kept(kept: Path) -> None:
    own = bench(kept)
    graph = own.network("digits", "digits_convnet").graph
    calibration = own.calibration("digits", "digits_convnet", 16, 0)
    basis: dict[str, str | int] = {"task": "digits", "network": "digits_convnet"}
    found = own.conversions.convert((Thresholds(), Elsewhere()), graph, 2, basis, lambda: calibration)
    assert found.network.graph is not graph
    assert len(list(kept.glob("*.safetensors"))) == 1


Cli = Callable[..., str]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["run_all.py", *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capfd.readouterr().err

    return call


def test_the_command_keeps_networks_beside_results_and_rerun_all_converts_anew(
    tmp_path: Path, cli: Cli, run: list[str]
) -> None:
    arguments = (
        "run",
        "--suite",
        "smoke",
        "--method",
        "calibration",
        "--T",
        "2",
        "--results",
        "out",
        "--engine",
        "inline",
    )
    cli(*arguments)
    assert len(list((tmp_path / "out/converted").glob("*.safetensors"))) == 2
    run.clear()
    cli(*arguments, "--limit", "20")
    assert run == []
    cli(*arguments, "--rerun", "all")
    assert run == ["Thresholds", "BiasCorrection"]


def test_the_command_saves_the_network_that_it_converts(tmp_path: Path, cli: Cli) -> None:
    cli("convert", "--dataset", "digits", "--arch", "digits_convnet", "--T", "2", "--method", "burst:phi=2", "--limit",
        "20", "--calibration", "16", "--precision", "float32", "--save", "network.safetensors")  # fmt: skip
    own = bench(None)
    network = load(own.network("digits", "digits_convnet").graph, tmp_path / "network.safetensors")
    assert torch.equal(counts(network), counts(own.convert(cell()).network))


@dataclass(frozen=True)
class Inner:
    factor: float

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        return network


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]

    def __call__(self, network: SpikingNetwork, calibration: Calibration) -> SpikingNetwork:
        return self.inner[0](network, calibration)


def test_the_code_of_a_stage_within_a_stage_counts(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Outer((Inner(0.5),))
    assert [type(part).__name__ for part in stage_parts(stage)] == ["Outer", "Inner"]
    digested: list[str] = []
    sources = Sources()
    real = sources.of

    def noted(*roots: Callable[..., Any]) -> dict[str, str]:
        digested.extend(type(root).__name__ for root in roots)
        return real(*roots)

    monkeypatch.setattr(sources, "of", noted)
    keys = ConversionCache(kept, sources, lambda: 0.0)._keys([stage], {"task": "t", "network": "n", "T": 1})
    assert len(keys) == 1 and digested == ["Outer", "Inner"]
