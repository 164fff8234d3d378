"""All families of figures, by name and by the number of the paper's figure."""

from __future__ import annotations

from benchmarks.pages.figures.bars import iso_energy, tasks
from benchmarks.pages.figures.base import Family
from benchmarks.pages.figures.code_costs import code_costs
from benchmarks.pages.figures.compression import compression
from benchmarks.pages.figures.energy import accuracy_energy, accuracy_latency
from benchmarks.pages.figures.exits import exits
from benchmarks.pages.figures.layers import errors, spikes, steps
from benchmarks.pages.figures.neuron import bursts, thresholds
from benchmarks.pages.figures.predictions import predictions
from benchmarks.pages.figures.searches import frontiers, sensitivity
from conversion.errors import InvalidInput, UnknownName

ANY = "converted networks and the ANN that they are compared with"
SEARCHES = "the tables of a search, kept since version 4 of records: run the suite figure3, or any with adafire"

FAMILIES: tuple[Family, ...] = (
    Family(
        "tasks", 1, "the ANN, Calibration, uniform bursts and AdaFire on each task", tasks,
        "the ANN, calibration and adafire at one T, as the suites mini and adaptive measure",
    ),
    Family(
        "sensitivity", 3, "divergence of the output with each phi and rho in one layer alone", sensitivity,
        SEARCHES,
    ),
    Family(
        "frontier", 4, "the frontier of a search, the choice on it, and one value for all layers", frontiers,
        SEARCHES,
    ),
    Family("bursts", 5, "a neuron's potential and spikes for phi of 1 and 4", bursts, "", computed=True),
    Family("thresholds", 6, "a neuron's potential and spikes for rho of 1 and 2", thresholds, "", computed=True),
    Family(
        "predictions", 7, "boxes, masks and parts by truth, ANN, Calibration and AdaFire", predictions,
        "the predictions of the ANN, of calibration, and of adafire or burst, for a task of boxes, maps or parts, as "
        "the suites bccd, camvid and mini measure",
    ),
    Family(
        "compression", 8, "accuracy and energy over the budget of SSC", compression,
        "adafire_ssc, and adafire beside it, as the suite figure8 measures",
    ),
    Family(
        "exits", 9, "confidence thresholds by step, when samples exit, and what that gives for its energy", exits,
        "methods with early exit at T of 2 or more, as the suite figure9 measures",
    ),
    Family("energy", None, "accuracy against energy, bursts beside their quantised twins", accuracy_energy, ANY),
    Family("latency", None, "accuracy against the steps to the final answer", accuracy_latency, ANY),
    Family("iso-energy", None, "what each family of methods reaches at equal energy", iso_energy,
           f"two families or more of {ANY}"),
    Family("codes", None, "what a code costs: accumulations against error", code_costs, "", computed=True),
    Family("spikes", None, "spikes in each layer and each step", spikes, "counts of layers, which every run keeps"),
    Family("steps", None, "accuracy after each step of one conversion", steps, "a conversion for 2 steps or more"),
    Family(
        "errors", None, "the error of each layer, by cause", errors,
        "reports of layers, which runs keep; the published suite cifar10 is from before they did",
    ),
)  # fmt: skip


ELSEWHERE = {
    "2": "The paper's Figure 2 is its workflow; ours is in docs/adaptive.md.",
}


def family(name: str) -> Family:
    """The family by its name, or by the number of the paper's figure.

    Raises:
        InvalidInput: the figure of the paper is drawn elsewhere.
        UnknownName: there is no such figure.
    """
    if name in ELSEWHERE:
        raise InvalidInput(ELSEWHERE[name])
    for each in FAMILIES:
        if name == each.name or (each.number is not None and name == str(each.number)):
            return each
    numbers = [str(each.number) for each in FAMILIES if each.number is not None]
    raise UnknownName("figure", name, [*numbers, *(each.name for each in FAMILIES)])
