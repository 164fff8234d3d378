"""Finds and runs the checks of a name, for the command line and for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters import NETWORKS
from benchmarks.choices import Kind
from benchmarks.conformance import codes, methods, networks, simulation, tasks
from benchmarks.conformance.kit import Result, check_name, judge
from benchmarks.references.released import named_method
from benchmarks.suites.plugins import load_plugins
from benchmarks.text import one_line, printable
from conversion.codes import CODES
from conversion.errors import InvalidInput, UnknownName
from conversion.methods import METHODS, make_method
from conversion.registry import Registry
from tasks import TASKS

REGISTRIES: Mapping[str, Registry[Any]] = {"method": METHODS, "task": TASKS, "network": NETWORKS, "code": CODES}
STYLES = {"passed": "green", "failed": "bold red", "does not apply": "dim"}


def checks_of(name: str, kind: Kind | None = None, data_root: Path | None = None) -> Iterator[Callable[[], Result]]:
    """The checks of a method, task, network or code, in their order; each runs when it is called.

    Args:
        name: as registered; a method may have options, "burst:phi=4".
        kind: needed where the name is registered more than once. A code has the name of a method at times, which is
            then the one that is meant.
        data_root: folder of the datasets, for tasks that need any.

    Raises:
        UnknownName: nothing is called so, or a method has no such option.
        InvalidInput: the name means several things, or an option has a value that the method does not take.
    """
    load_plugins()
    plain = name.partition(":")[0]
    asked = [kind] if kind else list(REGISTRIES)
    kinds = [each for each in asked if plain in REGISTRIES[each] or REGISTRIES[each].resolves(plain)]
    if kind is None and len(kinds) > 1:
        kinds = [each for each in kinds if each != "code"]
    if not kinds:
        known = (entry for each in asked for entry in REGISTRIES[each])
        raise UnknownName(kind or "method, task, network or code", plain, known)
    if len(kinds) > 1:
        raise InvalidInput(f"'{plain}' is a {' and a '.join(kinds)}; say which by --kind.")
    if kinds[0] == "method":
        name, options = named_method(name)
        method = methods.MethodBench(make_method(name, **options))
        return (partial(judge, check, method) for check in (*methods.CHECKS, *simulation.CHECKS))
    if kinds[0] == "task":
        task = tasks.TaskBench(TASKS[name], data_root)
        return (partial(judge, check, task) for check in tasks.CHECKS)
    if kinds[0] == "code":
        code = codes.CodeBench(CODES[name])
        return (partial(judge, check, code) for check in codes.CHECKS)
    network = networks.NetworkBench(NETWORKS[name])
    return (partial(judge, check, network) for check in networks.CHECKS)


def check(name: str, kind: Kind | None = None, data_root: Path | None = None) -> list[Result]:
    """Runs all checks and returns their results; arguments and errors as of `checks_of`."""
    return [run() for run in checks_of(name, kind, data_root)]


def print_results(name: str, results: list[Result], console: Console) -> None:
    """Prints a table of the results, and the number of checks of each verdict."""
    table = Table(title=Text(f"Conformance of {one_line(name)}"), title_justify="left", show_lines=False)
    for column in ("check", "result", "what must hold, or why it does not"):
        table.add_column(column, overflow="fold")
    for result in results:
        text = result.reason if result.verdict == "failed" else result.promise
        if result.verdict == "does not apply":
            text += f" Does not apply: {result.reason}"
        elif result.verdict == "failed":
            text = f"{result.promise} Failed: {result.reason}"
        table.add_row(Text(one_line(result.name)), Text(result.verdict, STYLES[result.verdict]), Text(printable(text)))
    console.print(table)
    passed, failed, needless = (sum(result.verdict == verdict for result in results) for verdict in STYLES)
    rest = f"{needless} {'does' if needless == 1 else 'do'} not apply"
    console.print(f"{passed} passed, {failed} failed, {rest}", highlight=False)


def conformance_test(name: str, kind: Kind | None = None, data_root: Path | None = None) -> Callable[..., None]:
    """A pytest function with a case for every check; arguments and errors as of `checks_of`."""
    import pytest  # Here, because only tests need it.

    cases = [pytest.param(run, id=check_name(run.args[0])) for run in checks_of(name, kind, data_root)]  # type: ignore[attr-defined]

    @pytest.mark.parametrize("run", cases)
    def test(run: Callable[[], Result]) -> None:
        result = run()
        if result.verdict == "does not apply":
            pytest.skip(result.reason)
        assert result.verdict == "passed", f"{result.promise} {result.reason}"

    return test
