"""The selection of cells of a suite, by the options that plan, run and report share."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from benchmarks.suites.cell import Cell
from conversion.errors import BenchmarkError, InvalidInput


class NothingSelected(BenchmarkError):
    """The suite has no cell of a selection."""


def select(
    cells: Sequence[Cell], *, tasks: Sequence[str] = (), networks: Sequence[str] = (), methods: Sequence[str] = (),
    steps: Sequence[int] = (), seeds: Sequence[int] = (),
) -> list[Cell]:  # fmt: skip
    """The cells that match one pattern of every kind that was given, and the ANN cells that they are compared with.

    Raises:
        InvalidInput: T below 1.
        NothingSelected: a pattern matches no cell.
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
                raise NothingSelected(
                    f"The suite has no {kind} '{pattern}'.{hint} It has {listed}; for others, write a suite file."
                )
        if patterns:
            kept = [c for c in kept if any(fnmatchcase(name, p) for name in names_of(c) for p in patterns)]
    wanted = {(cell.task, cell.network, cell.limit) for cell in kept}
    references = [c for c in cells if c.method == "ann" and (c.task, c.network, c.limit) in wanted and c not in kept]
    if not kept:
        raise NothingSelected("No cell of the suite matches all of the selection at once; drop one of the options.")
    return [*references, *kept]
