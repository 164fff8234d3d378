"""Every method that ships with the benchmark passes every check that applies to it."""

from __future__ import annotations

import pytest

from benchmarks.conformance import methods, simulation
from benchmarks.conformance.kit import judge
from benchmarks.conformance.methods import MethodBench
from benchmarks.references.released import named_method
from conversion.methods import METHODS, make_method

pytestmark = pytest.mark.slow

# Checks that do not apply are named, so that none is passed over by mistake.
CAUSAL = {"charges for waiting"}
NO_EXIT = {"stops counting when a sample leaves", *CAUSAL}
CODED = {"approaches the ann"}
WAITING = {"stops counting when a sample leaves"}
SHIPPED = {
    "ann": NO_EXIT | {
        "approaches the ann", "refuses a network without activations", "refuses another networks calibration",
        "counts up",
    },
    "auto:codes=rate": NO_EXIT | CODED,
    "burst:phi=4": NO_EXIT,
    "quantised_ann:phi=4": NO_EXIT | {"approaches its answer"},
    "calibration": NO_EXIT,
    "calibration_advanced": NO_EXIT,
    "calibration_advanced:weights=True,iterations=20": NO_EXIT,
    "calibration_iat": CAUSAL,
    "ftbc": NO_EXIT,
    "ftbc:phi=4,signed=True,deviation=running_mean": NO_EXIT,
    "ltb": NO_EXIT,
    "opt": NO_EXIT | {"approaches the ann"},
    "opt:output=False": NO_EXIT,
    "robustnorm": NO_EXIT,
    "snm": NO_EXIT | {"approaches the ann"},
    "snm:form=eager": NO_EXIT,
    "qcfs": NO_EXIT | {"recognises digits", "takes networks of vectors", "takes leaky activations"},
    "srp": NO_EXIT | CODED | {"recognises digits", "takes networks of vectors", "takes leaky activations"},
    "cos": WAITING | {"recognises digits", "takes networks of vectors", "takes leaky activations"},
    "energy_aware": NO_EXIT | {"approaches the ann"},
    "energy_aware:energy=0.0": NO_EXIT,
    "adafire": NO_EXIT,
    "adafire:effect=propagated": NO_EXIT,
    # On few samples the search takes a quarter of the time; how good its choice is is not checked.
    "adafire_iat:samples=8": CAUSAL,
    "adafire_ssc": NO_EXIT,
    "adafire_ssc:effect=propagated,ssc_grid=few": NO_EXIT,
    "adafire_ssc_iat": CAUSAL,
    "held": CODED | CAUSAL,
    "held:exit=0.5,wait=1": CODED,
    "held_tuned:iterations=2": CODED | CAUSAL,
    "phase": CODED | WAITING,
    "phase_tuned:iterations=1": CODED | WAITING,
    "bit_serial": CODED | WAITING,
    "bit_serial:signed=False,exit=0.9": CODED | {"takes leaky activations"},
    "sigma_delta": CODED | WAITING,
    "sigma_delta:exit=0.6": CODED,
    "dcgs": CODED | NO_EXIT,
    "dcgs:thresholds=normal": CODED | NO_EXIT,
    "hmt": NO_EXIT | {"takes leaky activations"},
    "parallel": WAITING | {"takes leaky activations"},
}  # fmt: skip


def test_every_method_is_tried() -> None:
    assert {label.partition(":")[0] for label in SHIPPED} == set(METHODS)


@pytest.mark.parametrize("label", SHIPPED)
def test_methods(label: str) -> None:
    name, options = named_method(label)
    bench = MethodBench(make_method(name, **options))
    results = [judge(check, bench) for check in (*methods.CHECKS, *simulation.CHECKS)]
    assert [result for result in results if result.verdict == "failed"] == []
    assert {result.name for result in results if result.verdict == "does not apply"} == SHIPPED[label]
