"""A verdict in the shape a schema asks for."""

from random import Random
from typing import Any

from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.review import Flaw, flaws
from workers.simulator.answers.schema import Schema, Shapes, type_of

_YES = ("approve", "approved", "pass", "passed", "accept", "accepted", "ok", "yes", "allow", "clean")
_NO = (
    "object",
    "objects",
    "reject",
    "rejected",
    "fail",
    "failed",
    "request_changes",
    "revise",
    "no",
    "deny",
    "block",
)
_WEIGHTS = {
    "minor": ("minor", "low", "info", "nit", "note"),
    "major": ("major", "medium", "high", "error", "warning"),
    "critical": ("critical", "blocker", "high", "severe", "major"),
}


def is_verdict(shapes: Shapes, properties: dict[str, Schema]) -> bool:
    """Whether an object decides something, and lists findings at lines."""
    return _decision(properties) is not None and _findings(shapes, properties) is not None


def verdict(
    shapes: Shapes, properties: dict[str, Schema], reading: Reading, chance: Random
) -> dict[str, Any]:
    """The decision and the findings, under the names the schema gives them."""
    found = flaws(reading)
    decision, findings = _decision(properties), _findings(shapes, properties)
    assert decision is not None and findings is not None
    words = _NO if any(flaw.weight != "minor" for flaw in found) else _YES
    options = properties[decision]["enum"]
    shape = shapes.properties(shapes.items(properties[findings]))
    known: dict[str, Any] = {
        decision: _picked(options, words),
        findings: [_finding(shape, flaw) for flaw in found[: properties[findings].get("maxItems", 20)]],
    }
    if "confidence" in properties:
        known["confidence"] = round(chance.uniform(0.7, 0.96), 2)
    return known


def _decision(properties: dict[str, Schema]) -> str | None:
    for name, schema in properties.items():
        options = [str(each).lower() for each in schema.get("enum") or ()]
        if any(each in _YES for each in options) and any(each in _NO for each in options):
            return name
    return None


def _findings(shapes: Shapes, properties: dict[str, Schema]) -> str | None:
    for name, schema in properties.items():
        if type_of(schema) == "array" and "line" in shapes.properties(shapes.items(schema)):
            return name
    return None


def _picked(options: list[Any], wanted: tuple[str, ...]) -> Any:
    by_name = {str(each).lower(): each for each in options}
    return next((by_name[each] for each in wanted if each in by_name), options[-1])


def _finding(shape: dict[str, Schema], flaw: Flaw) -> dict[str, Any]:
    """A finding; a property nobody knows gets the problem if it is a text, and nothing otherwise."""
    finding: dict[str, Any] = {}
    for name, schema in shape.items():
        if name == "line":
            finding[name] = flaw.line
        elif schema.get("enum"):
            finding[name] = _picked(schema["enum"], _WEIGHTS[flaw.weight])
        elif name in ("suggestion", "fix", "remedy"):
            finding[name] = flaw.suggestion[: schema.get("maxLength", 600)]
        elif type_of(schema) == "string":
            finding[name] = flaw.problem[: schema.get("maxLength", 600)]
    return finding
