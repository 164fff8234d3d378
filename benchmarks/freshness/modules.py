"""The parsed text of a module: the statements that bind its names, and those that act on them during its import."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# A name and the attributes read from it: ("F", "conv2d").
Chain = tuple[str, ...]


@dataclass(frozen=True)
class Content:
    """What a statement says.

    Attributes:
        text: see `written`.
        links: the names that it refers to, sorted.
        local: the names that it imports itself, as in `Module.imported`.
    """

    text: str
    links: tuple[Chain, ...]
    local: Mapping[str, tuple[str, Chain]]


class Module:
    """A parsed module.

    Args:
        name: its dotted name.
        text: its source.
        package: whether it is the `__init__` of a package.

    Attributes:
        bound: the top-level statements that bind each name.
        imported: the targets of imported names: a module, and the name in it (empty for `import m`).
        stars: modules of which everything is imported.
        acting: top-level statements that do more than bind a name: TABLE[key] = value, TABLE.update(...), a loop.
        decorated: functions and classes with decorators.

    Raises:
        SyntaxError: the text is no Python.
    """

    def __init__(self, name: str, text: str, package: bool) -> None:
        self.name = name
        self.package = name if package else name.rpartition(".")[0]
        self.bound: dict[str, list[ast.stmt]] = {}
        self.imported: dict[str, tuple[str, Chain]] = {}
        self.stars: list[str] = []
        self.acting: list[ast.stmt] = []
        self.decorated: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = []
        self._contents: dict[ast.stmt, Content] = {}
        for statement in ast.parse(text).body:
            self._read(statement)

    def content(self, statement: ast.stmt) -> Content:
        """What a statement of this module says, read once for all closures."""
        if statement not in self._contents:
            local, _ = self.imports(list(ast.walk(statement)))
            self._contents[statement] = Content(written(statement), tuple(sorted(set(chains(statement)))), local)
        return self._contents[statement]

    def _read(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._bind_imports([statement])
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.bound.setdefault(statement.name, []).append(statement)
            if statement.decorator_list:
                self.decorated.append(statement)
        elif not _is_text(statement) and not _is_script(statement):
            imports, names = [], []
            for node in _outside_functions(statement):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    imports.append(node)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.append(node.id)
                elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    names.append(node.name)
            self._bind_imports(imports)
            for name in names:
                self.bound.setdefault(name, []).append(statement)
            # It is assumed that an assignment only changes its own names, and that a block of imports changes nothing.
            if not (names and isinstance(statement, (ast.Assign, ast.AnnAssign))) and not (imports and not names):
                self.acting.append(statement)

    def _bind_imports(self, imports: Sequence[ast.Import | ast.ImportFrom]) -> None:
        bound, stars = self.imports(imports)
        self.imported |= bound
        self.stars += stars

    def imports(self, nodes: Sequence[ast.AST]) -> tuple[dict[str, tuple[str, Chain]], list[str]]:
        """The names that import statements among the nodes bind, as in `imported`, and their modules, as in `stars`."""
        bound: dict[str, tuple[str, Chain]] = {}
        stars: list[str] = []
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0],
                        (),
                    )
            elif isinstance(node, ast.ImportFrom):
                source = node.module or ""
                if node.level:
                    parent = self.package.split(".")
                    source = ".".join([*parent[: len(parent) - node.level + 1], *filter(None, [source])])
                for alias in node.names:
                    if alias.name == "*":
                        stars.append(source)
                    else:
                        bound[alias.asname or alias.name] = (source, (alias.name,))
        return bound, stars


def chains(tree: ast.AST) -> Iterator[Chain]:
    """The names that a piece of code refers to, with their attributes; annotations in quotes are code, too."""
    pending = [tree]
    while pending:
        node = pending.pop()
        found = chain(node)
        if found:
            yield found
        else:
            pending.extend(ast.iter_child_nodes(node))
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        for part in ast.walk(annotation) if isinstance(annotation, ast.AST) else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    pending.append(ast.parse(part.value, mode="eval"))
                except SyntaxError:
                    continue  # The text of a Literal.


def chain(node: ast.AST) -> Chain:
    """The name and attributes of an expression a.b.c, or nothing."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node.id, *reversed(attributes)) if isinstance(node, ast.Name) else ()


def written(node: object) -> str:
    """A tree as text that does not depend on comments, docstrings, formatting or the version of Python."""
    if isinstance(node, list):
        return f"[{','.join(written(part) for part in node if not _is_text(part))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    # Newer versions of Python have further fields, which are empty for older code.
    fields = ((name, getattr(node, name, None)) for name in node._fields if name not in ("kind", "type_comment"))
    parts = (f"{name}={written(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: object) -> bool:
    """Whether a statement is a docstring, or the text below an attribute."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_script(statement: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == ...`, which does nothing in an imported module."""
    return isinstance(statement, ast.If) and ("__name__",) in chains(statement.test)


def _outside_functions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement that are executed on import, and the functions and classes that it defines."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
