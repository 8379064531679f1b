"""The list of places, read off the code: every commit, and every call that leaves the process."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOM = ROOT / "orchestrator"
COMMITS = ("write", "decide")
CALLS = {"put": ("store", "_store"), "get": ("store", "_store"), "send_task": ("_app",), "post": ("client",)}
"""Methods that leave the process, and on what they are called."""
SEEN_THROUGH = {
    "orchestrator/ledger/leadership.py:Leadership.decide": "whoever decides in it is the place",
    "orchestrator/ledger/engine.py": "it is what the places stand on",
}


@dataclass(frozen=True)
class Point:
    """One place: a transaction or an external call."""

    name: str
    """As ``path:function:n``."""
    path: str
    first: int
    last: int
    is_commit: bool


def listed() -> Iterator[Point]:
    for file in sorted(ROOM.rglob("*.py")):
        yield from found(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))


def found(path: str, code: str) -> list[Point]:
    """The places in one file's code."""
    walk = _Walk(path)
    walk.visit(ast.parse(code))
    return walk.points


@cache
def points() -> dict[str, Point]:
    """All of them by name, without those that others stand for."""
    return {point.name: point for point in listed() if not point.name.startswith(tuple(SEEN_THROUGH))}


@cache
def _lines() -> dict[tuple[str, int], str]:
    """The place by file and line."""
    return {
        (str(ROOT / point.path), line): point.name
        for point in points().values()
        for line in range(point.first, point.last + 1)
    }


def place(file: str, line: int) -> str | None:
    return _lines().get((file, line))


class _Walk(ast.NodeVisitor):
    """Walks one file, and knows in which function it is."""

    def __init__(self, path: str) -> None:
        self.points: list[Point] = []
        self._path = path
        self._within: list[str] = []
        self._count: dict[str, int] = {}

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            called = item.context_expr
            if isinstance(called, ast.Call) and _method(called) in COMMITS:
                self._add(called, is_commit=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _owner(node) in CALLS.get(_method(node), ()):
            self._add(node, is_commit=False)
        self.generic_visit(node)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    def _add(self, node: ast.Call, is_commit: bool) -> None:
        name = f"{self._path}:{'.'.join(self._within)}"
        self._count[name] = self._count.get(name, 0) + 1
        if self._count[name] > 1:
            name += f":{self._count[name]}"
        self.points.append(Point(name, self._path, node.lineno, node.end_lineno or node.lineno, is_commit))


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _owner(call: ast.Call) -> str:
    """The last name before the method."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    match owner:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
