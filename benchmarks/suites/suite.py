"""Suites: the tasks, networks, methods and numbers of steps that make up a table."""

from __future__ import annotations

import hashlib
import re
import reprlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from adapters import NETWORKS
from benchmarks.suites.cell import STEPS, Cell
from benchmarks.suites.comparisons import Ablation, IsoEnergy, Problem
from benchmarks.suites.paper import PaperTable
from conversion.counting.prices import PRICES
from conversion.errors import BenchmarkError, InvalidInput, UnknownName
from conversion.methods import METHODS
from tasks import TASKS

FOUR_HOURS = 4 * 3600.0
# The option by which a method aims at a share of the ANN's energy.
AIM = "target"


def _refuse(problems: Iterable[Problem]) -> None:
    """Raises ValidationError if there are problems; pydantic appends their locations to that of the validated field."""
    details = [
        InitErrorDetails(type=PydanticCustomError("refused", "{sentence}", {"sentence": said}), loc=where, input=None)
        for where, said in problems
    ]
    if details:
        raise ValidationError.from_exception_data("suite", details)


def _task(name: str) -> str:
    try:
        TASKS[name]
    except UnknownName as error:
        _refuse([((), str(error))])
    return name


def _network(name: str, entry: ValidationInfo) -> str:
    try:
        network = NETWORKS[name]
    except UnknownName as error:
        _refuse([((), str(error))])
    reasons = (network.fits(TASKS[task]()) for task in entry.data.get("tasks", ()))
    _refuse(((), reason) for reason in reasons if reason is not None)
    return name


def _method(method: object) -> object:
    """Raises ValidationError, placed below the method's name, for an option that the method does not take."""
    given = {method: {}} if isinstance(method, str) else method
    pairs = given.items() if isinstance(given, dict) else ()
    if not pairs or not all(isinstance(name, str) and isinstance(options, dict) for name, options in pairs):
        shown = reprlib.repr(method)
        _refuse([((), f"A method is a name, or a name with options, as in burst: {{phi: 4}}; {shown} is neither.")])
    for name, options in pairs:
        place = () if isinstance(method, str) else (name,)
        try:
            METHODS[name].model_validate(options)
        except ValidationError as error:
            # Each alternative type of an option has an error of its own; the first is enough.
            first = {found["loc"][:1]: found for found in reversed(error.errors())}
            raise ValidationError.from_exception_data(
                "suite",
                [
                    InitErrorDetails(
                        type=PydanticCustomError(found["type"], "{said}", {"said": found["msg"]}),
                        loc=(name, *option), input=found["input"],
                    )
                    for option, found in first.items()
                ],
            ) from None  # fmt: skip
        except BenchmarkError as error:  # No such method, or options that do not go together.
            _refuse([(place, str(error))])
    return method


def _price_list(name: str) -> str:
    if name not in PRICES:
        _refuse([((), str(UnknownName("price list", name, PRICES)))])
    return name


def _in_a_name(network: str) -> str:
    """A network of a hub in the name of a suite: a path by its last folder, and a hash of all of it."""
    hub, _, rest = network.partition("/")
    digest = f"-{hashlib.sha256(rest.encode()).hexdigest()[:6]}" if "/" in rest else ""
    last = rest.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9_-]+", "-", f"{hub}-{last}{digest}".lower())


class Entry(BaseModel):
    """A block of a suite: the product of its lists. A method is a name, or a name with options."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    tasks: list[Annotated[str, AfterValidator(_task)]] = Field(min_length=1)
    networks: list[Annotated[str, AfterValidator(_network)]] = Field(min_length=1, description="that fit the tasks")
    methods: list[Annotated[str | dict[str, dict[str, Any]], BeforeValidator(_method)]] = Field(
        min_length=1, description="a name, or a name with options"
    )
    T: list[Annotated[int, Field(ge=1, le=STEPS)]] = Field(
        min_length=1, description="numbers of timesteps to convert for"
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(
        default=[0], min_length=1, description="draw the calibration samples and whatever a method draws"
    )
    limit: int | None = Field(
        default=None, ge=1, description="the first test samples of one fixed shuffle; all when left out"
    )
    calibration: int | None = Field(
        default=None, ge=1, description="training samples that a conversion may look at; the suite's when left out"
    )

    def named_methods(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and options of every method."""
        pairs: list[tuple[str, dict[str, Any]]] = []
        for method in self.methods:
            pairs += [(method, {})] if isinstance(method, str) else list(method.items())
        return pairs

    def at_energy(self, energy: float) -> Entry | None:
        """The block with this energy as the target of those methods that can have one; None if it has no such."""
        methods = [{name: options | {AIM: energy}} for name, options in self.named_methods()
                   if AIM in METHODS[name].model_fields]  # fmt: skip
        return self.model_copy(update={"methods": methods}) if methods else None


class Suite(BaseModel):
    """A suite of the benchmark (docs/suites.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="of the folder of its results")
    title: str = Field(description="of the page of its results")
    note: str = Field(default="", description="what the reader of the results should know, in Markdown")
    calibration: int = Field(default=512, ge=1, description="training samples that a conversion may look at")
    price_list: Annotated[str, AfterValidator(_price_list)] = Field(
        default="horowitz45", description="of operations, in joules"
    )
    time_limit: float = Field(
        default=FOUR_HOURS, gt=0, allow_inf_nan=False, description="seconds that one cell may take"
    )
    entries: list[Entry] = Field(min_length=1, description="blocks, each the product of its lists")
    iso_energy: IsoEnergy | None = Field(default=None, description="compare families of rows at equal energy")
    ablation: Ablation | None = Field(default=None, description="what each technique adds, beside the paper's Table 7")
    table: PaperTable | None = Field(default=None, description="the table of the paper that the suite regenerates")

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name in ("converted", "published"):
            raise ValueError(f"{name} is the name of another folder of results; take another one")
        return name

    @model_validator(mode="after")
    def _compares_what_it_has(self) -> Self:
        cells = self.cells()
        labels = {cell.recipe.label for cell in cells}
        for key, comparison in (("iso_energy", self.iso_energy), ("ablation", self.ablation)):
            if comparison is not None:
                _refuse(((key, *where), said) for where, said in comparison.problems(labels))
        if self.table is not None:
            _refuse((("table", *where), said) for where, said in self.table.problems(cells))
        return self

    def __copy__(self) -> Self:
        """What a copy with other entries is made from, which has other cells."""
        copied = super().__copy__()
        copied.__dict__.pop("every_cell", None)
        return copied

    @property
    def calibrated_on(self) -> str:
        """The most training samples that conversions look at, as pages say it: of the blocks one or the other."""
        return " or ".join(map(str, sorted({entry.calibration or self.calibration for entry in self.entries})))

    def cells(self) -> list[Cell]:
        """All cells, the ANN that each row is compared with first, each once."""
        return list(self.every_cell)

    @cached_property
    def every_cell(self) -> tuple[Cell, ...]:
        """The cells, made once: large suites have many thousands."""
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
                                    limit=entry.limit, calibration=entry.calibration or self.calibration,
                                )  # fmt: skip
                                found.setdefault(cell.id, cell)
        # Cells that share a network follow each other; the full test split comes before parts of it.
        return tuple(sorted(found.values(), key=lambda c: (c.task, c.network, c.limit is not None, c.limit or 0)))

    def adjusted(
        self, *, limit: int | None = None, price_list: str | None = None, energy: float | None = None,
        networks: Sequence[str] = (),
    ) -> Suite:  # fmt: skip
        """The same suite with other prices, or, under a name of its own, with less of it.

        Args:
            limit: on the first N test samples.
            price_list: with these prices.
            energy: with those of its methods that can aim at an energy, and this share of the ANN's as their target.
            networks: with those of them that are of a hub (timm/NAME) in place of its own; or beside them, if there are
                others among the names, which are left to the selection.

        Raises:
            UnknownName: there is no such price list, or no such network at a hub.
            InvalidInput: no method of the suite can aim at an energy, or a network of a hub fits none of its tasks.
        """
        changes: dict[str, Any] = {}
        if price_list is not None:
            if price_list not in PRICES:
                raise UnknownName("price list", price_list, PRICES)
            changes["price_list"] = price_list
        if limit is not None:
            entries = [entry.model_copy(update={"limit": limit}) for entry in self.entries]
            note = f"The suite `{self.name}` on the first {limit} test samples of a fixed shuffle."
            changes |= {"name": f"{self.name}-first-{limit}", "note": note, "entries": entries}
        adjusted = (self.model_copy(update=changes) if changes else self)._with_hubs(networks)
        return adjusted if energy is None else adjusted._at_energy(energy)

    def _with_hubs(self, networks: Sequence[str]) -> Suite:
        own = {network for entry in self.entries for network in entry.networks}
        hubs = [name for name in dict.fromkeys(networks) if name not in own and NETWORKS.resolves(name)]
        if not hubs:
            return self
        entries = list(self.entries) if len(hubs) < len(networks) else []
        for name in hubs:
            misfits = {task: NETWORKS[name].fits(TASKS[task]()) for entry in self.entries for task in entry.tasks}
            if all(misfits.values()):
                raise InvalidInput(f"Suite {self.name} has no task for it. {next(iter(misfits.values()))}")
            for entry in self.entries:
                tasks = [task for task in entry.tasks if misfits[task] is None]
                entries += [entry.model_copy(update={"tasks": tasks, "networks": [name]})] if tasks else []
        listed = ", ".join(f"`{name}`" for name in hubs)
        place = "beside" if len(hubs) < len(networks) else "in place of"
        return self.model_copy(update={
            "name": "-".join([self.name, "of", *map(_in_a_name, hubs)]), "entries": entries, "table": None,
            "note": f"The suite `{self.name}` with {listed} {place} its own networks.",
        })  # fmt: skip

    def _at_energy(self, energy: float) -> Suite:
        entries = [kept for entry in self.entries if (kept := entry.at_energy(energy)) is not None]
        if not entries:
            able = ", ".join(name for name in METHODS if AIM in METHODS[name].model_fields)
            raise InvalidInput(
                f"No method of the suite {self.name} can aim at an energy; those that can are {able}. Write a suite "
                "file with them."
            )
        percent = f"{100 * energy:g}"
        note = f"Those methods of the suite `{self.name}` that can aim at an energy, at {percent} % of the ANN's."
        name = f"{self.name}-at-{percent.replace('.', '-')}"
        return self.model_copy(update={
            "name": name, "note": note, "entries": entries, "iso_energy": None, "ablation": None, "table": None,
        })  # fmt: skip
