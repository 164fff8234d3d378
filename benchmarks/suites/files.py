"""Reads suite files; errors name line and key."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmarks.suites.comparisons import Ablation, IsoEnergy
from benchmarks.suites.paper import Need, Ours, PaperTable
from benchmarks.suites.plugins import load_plugins
from benchmarks.suites.shipped import GROUPS, SUITES, members, suite_names, suite_path
from benchmarks.suites.suite import Entry, Suite
from conversion.errors import InvalidInput, UnknownName
from conversion.methods import METHODS

Location = tuple[int | str, ...]


def load_suites(name: str) -> list[Suite]:
    """Reads the suites that a name stands for: all of a group, as "paper", or the one that `load_suite` reads."""
    return [load_suite(member) for member in members(name)]


def load_suite(name: str) -> Suite:
    """Reads a shipped suite by name, or any suite by the path of its file; both may use plug-ins.

    Raises:
        UnknownName: no such suite.
        InvalidInput: the name is that of a group; or the file is malformed: names each line and key to mend.
    """
    load_plugins()
    if name in GROUPS:
        raise InvalidInput(f"'{name}' stands for the suites {', '.join(GROUPS[name])}; name one of them here.")
    path = suite_path(name)
    if not path.is_file():
        _refuse_other_places(name, path)
        raise UnknownName("suite", name, [*suite_names(), *GROUPS])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The suite {path} cannot be read: {error}") from None
    try:
        content, root = parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise InvalidInput(f"{path}, line {line}: {_yaml_sentence(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidInput(f"{path}, line {line}: YAML takes no character {error.character:#04x}.") from None
    except RecursionError:
        raise InvalidInput(f"The suite {path} is nested too deeply.") from None
    try:
        suite = Suite.model_validate({} if content is None else content)
    except ValidationError as error:
        found = sorted((line_of(root, details["loc"]), said) for details, said in _sentences(error.errors()))
        raise InvalidInput("\n".join(f"{path}, line {line}: {said}" for line, said in found)) from None
    if suite.name in (*suite_names(), *GROUPS) and path.resolve().parent != SUITES.resolve():
        raise InvalidInput(
            f"{path}, line {line_of(root, ('name',))}: 'name' is {suite.name}, as a shipped suite is called; choose a "
            "name of your own."
        )
    return suite


def _refuse_other_places(name: str, path: Path) -> None:
    """Refuses the path of a file that is not there, and the name of a file of one's own without its suffix."""
    if path == Path(name):
        there = [str(path.with_name(each.name)) for each in path.parent.glob("*.y*ml")]
        near = get_close_matches(name, there, n=1)
        hint = f"did you mean {near[0]}?" if near else "suites that ship are named without .yaml."
        raise InvalidInput(f"There is no suite file {path}; {hint}")
    if (own := Path(f"{name}.yaml")).is_file():
        raise InvalidInput(f"No suite that ships is called '{name}'; the file in this folder is named {own}.")


def parse(text: str) -> tuple[Any, yaml.Node | None]:
    """The content of a YAML text, and its root node.

    Raises:
        yaml.YAMLError: it is no YAML, or has a key twice.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return (None if root is None else loader.construct_document(root)), root
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """A safe loader that also refuses duplicate keys, of which YAML's own takes the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        # Keys are compared as they are written: all keys of suites are plain words.
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in lines:
                said = f"the key '{key.value}' is there twice, first in line {lines[key.value]}; drop one of the two"
                raise yaml.composer.ComposerError(None, None, said, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep)
            if isinstance(found, str):
                found.encode()  # An escape can stand for half a character, which is none and can be written nowhere.
            return found
        except UnicodeEncodeError:
            raise yaml.constructor.ConstructorError(
                None, None, "a text holds half a character, an escape from \\ud800 to \\udfff", node.start_mark
            ) from None
        except ValueError as error:  # A date with a thirteenth month, a number without digits.
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def line_of(root: yaml.Node | None, location: Location) -> int:
    """The line of a key or an element, counted from 1; the line of its parent where it does not exist."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            # Keys that are merged in come first, and the mapping's own count.
            held = next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), None)
            if held is None:
                break
            key, node = held
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _yaml_sentence(error: yaml.MarkedYAMLError) -> str:
    problem = (error.problem or str(error)).rstrip(".")
    if "\\t" in problem:
        return "YAML indents with spaces; there is a tab."
    return f"{problem}{f' {error.context}' if error.context else ''}."


def _sentences(errors: list[ErrorDetails]) -> list[tuple[ErrorDetails, str]]:
    """A sentence for each error; a misspelt key is not reported as a missing one, too."""
    spelt = {(*error["loc"][:-1], *_nearest(error["loc"])) for error in errors if error["type"] == "extra_forbidden"}
    kept = (error for error in errors if error["type"] != "missing" or error["loc"] not in spelt)
    return [(error, _sentence(error)) for error in kept]


def _sentence(error: ErrorDetails) -> str:
    location, said = error["loc"], error["msg"].rstrip(".")
    if not location:
        return "a suite is a mapping of keys, among them name, title and entries."
    place, known = _place(location[:-1])
    if error["type"] == "extra_forbidden":
        near = _nearest(location)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or '(none)'}."
        return f"there is no key '{location[-1]}' in {place}; {hint}"
    if error["type"] == "missing":
        return f"the key '{location[-1]}' is missing in {place}."
    # pydantic puts the marker "[key]" behind a key that is itself wrong, which may be no string.
    keys = [part for part in location if isinstance(part, str) and part != "[key]"]
    key = keys[-1] if keys else location[0]
    if error["type"] == "refused":
        return f"in '{key}': {error['msg']}"
    wanted = said.removeprefix("Input should be ")
    if wanted != said:
        return f"'{key}' is {reprlib.repr(error['input'])}; it should be {wanted}."
    return f"'{key}' is wrong: {said}."


def _nearest(location: Location) -> list[str]:
    _, known = _place(location[:-1])
    return get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)


def _place(location: Location) -> tuple[str, Collection[str]]:
    """The name of a mapping in the file, and its valid keys."""
    models: Mapping[str, type[BaseModel]] = {"iso_energy": IsoEnergy, "ablation": Ablation, "table": PaperTable}
    match location:
        case ():
            return "a suite", Suite.model_fields
        case ("entries", int()):
            return "an entry", Entry.model_fields
        case ("entries", int(), "methods", int(), str(name)):
            return f"the options of method '{name}'", METHODS[name].model_fields
        case ("table", "ours", int()):
            return "a block of ours", Ours.model_fields
        case ("table", "needs", int()):
            return "a need", Need.model_fields
        case (str(name),) if name in models:
            return name, models[name].model_fields
    return ".".join(map(str, location)), ()
