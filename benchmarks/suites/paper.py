"""The table of the paper that a suite regenerates: which of its printed numbers are measured, and what that needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.references.paper import Printed, printed
from benchmarks.suites.cell import Cell
from benchmarks.suites.comparisons import Problem
from conversion.errors import UnknownName

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    """The cells, one for each seed, whose mean stands beside a printed number."""

    task: str
    network: str
    method: str
    """A label, "burst:phi=4"."""
    T: int | None

    @classmethod
    def of(cls, cell: Cell) -> Target:
        """The target of a cell."""
        return cls(cell.task, cell.network, cell.recipe.label, cell.T)


class Ours(BaseModel):
    """A block of printed numbers that are measured: the product of its datasets, networks and methods.

    Attributes:
        datasets: tasks, by the paper's dataset.
        networks: networks, by the paper's architecture.
        methods: labels of methods, by the paper's method.
        T: the number of steps, where the paper states none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    datasets: dict[str, str] = Field(min_length=1)
    networks: dict[str, str] = Field(min_length=1)
    methods: dict[str, str] = Field(min_length=1)
    T: int | None = Field(default=None, ge=1)

    def target(self, row: Printed) -> Target | None:
        """The target of a printed number; None where the block does not hold it."""
        if row.dataset in self.datasets and row.architecture in self.networks and row.method in self.methods:
            task, network = self.datasets[row.dataset], self.networks[row.architecture]
            return Target(task, network, self.methods[row.method], self.T if row.T is None else row.T)
        return None


class Need(BaseModel):
    """A trained network that a table needs.

    Attributes:
        weights: how they come about, by `train` or from a file of their publisher.
        gpu, cpu: the time that training takes on one GPU and on a CPU, and whether it was measured or extrapolated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    task: str
    network: str
    weights: Literal["train", "published"] = "train"
    gpu: str = NOT_MEASURED
    cpu: str = NOT_MEASURED


class PaperTable(BaseModel):
    """A table of the paper. Printed numbers that no block of `ours` holds are quoted.

    Attributes:
        number: of the table.
        ours: blocks of the numbers that are measured.
        columns: what stands side by side; every number has a row of its own when left out.
        mean: the dataset whose numbers are the unweighted means of all others', which are categories.
        deviations: how our setting differs from the paper's, in sentences.
        needs: the trained networks whose weights are published, or whose training was timed; others are trained.
        gpu, cpu: the time that measuring takes on one GPU and on a CPU, and whether it was measured or extrapolated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    number: Literal[1, 2, 3, 4, 5, 6, 7]
    ours: list[Ours] = Field(min_length=1)
    columns: Literal["T", "method"] | None = None
    mean: str | None = None
    deviations: list[str] = []
    needs: list[Need] = []
    gpu: str = NOT_MEASURED
    cpu: str = NOT_MEASURED

    def target(self, row: Printed) -> Target | None:
        """The target of a printed number; None where it is quoted, or the mean of others."""
        return next((target for block in self.ours if (target := block.target(row)) is not None), None)

    def needed(self) -> list[Need]:
        """The trained networks that are measured, in the order of the table."""
        told = {(need.task, need.network): need for need in self.needs}
        targets = (target for row in printed(self.number) if (target := self.target(row)) is not None)
        pairs = dict.fromkeys((target.task, target.network) for target in targets)
        return [told.get(pair, Need(task=pair[0], network=pair[1])) for pair in pairs]

    def problems(self, cells: Iterable[Cell]) -> Iterator[Problem]:
        """Names that the paper's table does not have, numbers without a cell, and needs of other suites."""
        rows, cells = printed(self.number), list(cells)
        targets, pairs = {Target.of(cell) for cell in cells}, {(cell.task, cell.network) for cell in cells}
        table = f"of Table {self.number}"
        known: Mapping[str, set[str]] = {
            "datasets": {row.dataset for row in rows},
            "networks": {row.architecture for row in rows},
            "methods": {row.method for row in rows},
        }
        for index, block in enumerate(self.ours):
            for key, names in known.items():
                for name in getattr(block, key):
                    if name not in names:
                        yield ("ours", index, key, name), str(UnknownName(f"name in the {key} {table}", name, names))
            for row in rows:
                target = block.target(row)
                if target is not None and target not in targets:
                    yield (
                        ("ours", index, "methods", row.method),
                        f"the suite has no cell {target.task} {target.network} {target.method} T={target.T} for the "
                        f"number {table} for {row.dataset}, {row.architecture}, {row.method}, T={row.T}",
                    )
        if self.mean is not None and self.mean not in known["datasets"]:
            yield ("mean",), str(UnknownName(f"dataset {table}", self.mean, known["datasets"]))
        for index, need in enumerate(self.needs):
            if (need.task, need.network) not in pairs:
                yield ("needs", index), f"no cell of the suite is of task {need.task} and network {need.network}"
