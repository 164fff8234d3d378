"""XML as a tree whose elements know their lines, for annotations and headers of files from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from conversion.errors import InvalidInput
from tasks.typed import Place

DEEPEST = 100


@dataclass
class Element:
    """An element, the line it begins on, its attributes, its own text and the elements in it."""

    name: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The elements directly in it that have a name, in their order."""
        return (element for element in self.inside if element.name == name)

    def within(self, name: str) -> Iterator[Element]:
        """The elements at any depth in it that have a name."""
        for element in self.inside:
            if element.name == name:
                yield element
            yield from element.within(name)

    def fields(self, *repeated: str) -> dict[str, Any]:
        """What is in it by name: the text of elements without others in them, the fields of those with.

        Args:
            repeated: names of which there may be any number; each is a list. So is any other that is there twice, and
                no field of a record is one.
        """
        found: dict[str, Any] = {name: [] for name in repeated}
        for element in self.inside:
            value = element.fields() if element.inside else element.text.strip()
            if element.name not in found:
                found[element.name] = value
            elif isinstance(before := found[element.name], list):
                before.append(value)
            else:
                found[element.name] = [before, value]
        return found

    def line_of(self, place: Place) -> int:
        """The line of a field, or of what it is missing in."""
        at = self
        for name, number in zip(place, [*place[1:], 0], strict=True):
            same = [element for element in at.inside if element.name == name]
            if same:
                at = same[number if isinstance(number, int) else 0]
        return at.line


def parsed(content: bytes, path: Path) -> Element:
    """The outermost element of an XML document.

    Bytes that are not in the document's encoding, UTF-8 unless it says another, are replaced.

    Raises:
        InvalidInput: it is no XML, declares entities of its own or has those of other files, or is nested too deep;
            names file and line.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    around = Element("", 0, {})
    within: list[tuple[Element, list[str]]] = [(around, [])]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(within) > DEEPEST:
            raise InvalidInput(f"{path}, line {parser.CurrentLineNumber}: it is nested more than {DEEPEST} deep.")
        element = Element(name, parser.CurrentLineNumber, attributes)
        within[-1][0].inside.append(element)
        within.append((element, []))

    def end(_: str) -> None:
        element, pieces = within.pop()
        element.text = "".join(pieces)

    def entity(*_: object) -> None:
        raise InvalidInput(f"{path}, line {parser.CurrentLineNumber}: it declares entities, which are not read.")

    def skipped(name: str, *_: object) -> None:
        raise InvalidInput(
            f"{path}, line {parser.CurrentLineNumber}: '{name:.60}' is an entity of another file, which is not read."
        )

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: within[-1][1].append(text)
    parser.EntityDeclHandler = entity
    parser.SkippedEntityHandler = skipped
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"encoding" in content[:100]
    try:
        parser.Parse(content if marked else content.decode("utf-8", errors="replace").encode(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # The last two: an encoding that Python does not know.
        raise InvalidInput(f"{path} is no XML file: {error}.") from error
    return around.inside[0]
