"""Suite files: which tasks, networks, methods and numbers of steps make up a table."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adapters import NETWORKS
from benchmarks.cells import Cell
from benchmarks.comparisons import Ablation, IsoEnergy
from benchmarks.prices import PRICES
from conversion.errors import BenchmarkError, InvalidInput, UnknownName
from conversion.methods import METHODS, make_method
from tasks import TASKS

SUITES = Path(__file__).parent / "suites"


class Entry(BaseModel):
    """A block of a suite: the product of its lists. A method is a name, or a name with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tasks: list[str] = Field(min_length=1)
    networks: list[str] = Field(min_length=1)
    methods: list[str | dict[str, dict[str, Any]]] = Field(min_length=1)
    T: list[int] = Field(min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    limit: int | None = Field(default=None, ge=1)

    @field_validator("T")
    @classmethod
    def _positive(cls, steps: list[int]) -> list[int]:
        for T in steps:
            if T < 1:
                raise ValueError(f"T is {T}, but a simulation has at least 1 step")
        return steps

    def named_methods(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of every method."""
        pairs: list[tuple[str, dict[str, Any]]] = []
        for method in self.methods:
            pairs += [(method, {})] if isinstance(method, str) else list(method.items())
        return pairs


class Suite(BaseModel):
    """A suite file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    title: str
    note: str = ""
    calibration: int = Field(default=512, ge=1)
    price_list: str = "horowitz45"
    time_limit: float = Field(default=14400, gt=0)
    entries: list[Entry] = Field(min_length=1)
    iso_energy: IsoEnergy | None = None
    ablation: Ablation | None = None

    def cells(self) -> list[Cell]:
        """All cells, the ANN that each row is compared with first, each once."""
        found: dict[str, Cell] = {}
        for entry in self.entries:
            for task in entry.tasks:
                for network in entry.networks:
                    for name, options in [("ann", {}), *entry.named_methods()]:
                        timed = METHODS[name].timed
                        for T in entry.T if timed else [None]:
                            for seed in entry.seeds if timed else [0]:
                                cell = Cell(
                                    task=task, network=network, method=name, options=options, T=T, seed=seed,
                                    limit=entry.limit, calibration=self.calibration,
                                )  # fmt: skip
                                found.setdefault(cell.id, cell)
        # Cells that share a network follow each other; the full test split comes before parts of it.
        return sorted(found.values(), key=lambda c: (c.task, c.network, c.limit is not None, c.limit or 0))

    def check(self) -> None:
        """Raises UnknownName or InvalidInput for a name or option that nothing answers to."""
        if self.price_list not in PRICES:
            raise UnknownName("price list", self.price_list, PRICES)
        for entry in self.entries:
            for task in entry.tasks:
                TASKS[task]
                for network in entry.networks:
                    if task not in NETWORKS[network].tasks:
                        raise InvalidInput(
                            f"Suite {self.name}: network {network} does not fit task {task}; it fits "
                            f"{', '.join(NETWORKS[network].tasks)}."
                        )
            for name, options in entry.named_methods():
                make_method(name, **options)
        labels = {cell.recipe.label for cell in self.cells()}
        if self.iso_energy is not None:
            self.iso_energy.check(self.name, labels)
        if self.ablation is not None:
            self.ablation.check(self.name, labels)

    def adjusted(self, *, limit: int | None = None, price_list: str | None = None) -> Suite:
        """The same suite with other prices, or on the first `limit` test samples under a name of its own."""
        changes: dict[str, Any] = {}
        if price_list is not None:
            changes["price_list"] = price_list
        if limit is not None:
            entries = [entry.model_copy(update={"limit": limit}) for entry in self.entries]
            note = f"The suite `{self.name}` on the first {limit} test samples of a fixed shuffle."
            changes |= {"name": f"{self.name}-first-{limit}", "note": note, "entries": entries}
        suite = self.model_copy(update=changes)
        suite.check()
        return suite


def suite_names() -> list[str]:
    """The suites that ship with the benchmark."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or any suite by the path of its file.

    Raises:
        UnknownName: no such suite, or an unknown name in it.
        InvalidInput: the file is malformed; names the line or the key.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"
    if not path.is_file():
        raise UnknownName("suite", name, suite_names())
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        suite = Suite.model_validate(content or {})
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The suite {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"The suite {path} is no valid YAML: {error}") from None
    except ValidationError as error:
        raise InvalidInput(f"The suite {path}: {_describe(error)}") from None
    suite.check()
    if suite.name in suite_names() and path.resolve().parent != SUITES.resolve():
        raise InvalidInput(f"The suite {path} is called {suite.name}, as a shipped one is; give it a name of its own.")
    return suite


def select(
    cells: Sequence[Cell], *, tasks: Sequence[str] = (), networks: Sequence[str] = (), methods: Sequence[str] = (),
    steps: Sequence[int] = (), seeds: Sequence[int] = (),
) -> list[Cell]:  # fmt: skip
    """The cells that match one pattern of every kind that was given. ANN references of what is kept are kept.

    Raises:
        InvalidInput: T below 1.
        BenchmarkError: a pattern matches no cell.
    """
    for T in steps:
        if T < 1:
            raise InvalidInput(f"T is {T}, but a simulation has at least 1 step; give T >= 1.")
    kept = list(cells)
    for kind, patterns, names_of in (
        ("task", tasks, lambda cell: {cell.task}),
        ("network", networks, lambda cell: {cell.network}),
        ("method", methods, lambda cell: {cell.method, cell.recipe.label}),
        ("T", [str(T) for T in steps], lambda cell: {str(cell.T)} if cell.T else set()),
        ("seed", [str(seed) for seed in seeds], lambda cell: {str(cell.seed)}),
    ):
        known = {name for cell in cells for name in names_of(cell)}
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in known):
                listed = ", ".join(sorted(known, key=lambda name: (len(name), name)))
                near = get_close_matches(pattern, known, n=1, cutoff=0.6) if kind not in ("T", "seed") else []
                hint = f" Did you mean {near[0]}?" if near else ""
                raise BenchmarkError(
                    f"The suite has no {kind} '{pattern}'.{hint} It has {listed}; for others, write a suite file."
                )
        if patterns:
            kept = [c for c in kept if any(fnmatchcase(name, p) for name in names_of(c) for p in patterns)]
    wanted = {(cell.task, cell.network, cell.limit) for cell in kept}
    references = [c for c in cells if c.method == "ann" and (c.task, c.network, c.limit) in wanted and c not in kept]
    if not kept:
        raise BenchmarkError("No cell of the suite matches all of the selection at once; drop one of the options.")
    return [*references, *kept]


def _describe(error: ValidationError) -> str:
    # A misspelt key is also a missing one; the spelling says more.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    # Alternatives that pydantic tried show up as types in the location.
    where = ".".join(str(part) for part in first["loc"] if part not in ("str", "dict[str,dict[str,any]]"))
    if first["type"] != "extra_forbidden":
        return f"'{where}' is wrong: {first['msg']}."
    known = {*Suite.model_fields, *Entry.model_fields, *IsoEnergy.model_fields, *Ablation.model_fields}
    near = get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0)
    return f"there is no key '{where}'; did you mean '{near[0]}'?"
