"""Filling a schema with plausible values: specialists where the shape is known, simple values elsewhere."""

import re
from random import Random
from typing import Any

from workers.simulator.answers.claims import STATEMENTS, claims
from workers.simulator.answers.page import page, slug
from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.questions import open_questions
from workers.simulator.answers.relevance import ranked
from workers.simulator.answers.schema import Schema, Shapes, type_of
from workers.simulator.answers.verdict import is_verdict, verdict
from workers.simulator.answers.words import clipped, phrases

_LONGEST_STRING = 600
_MANY = 8
_DEEPEST = 12


class Filler:
    """Writes one answer."""

    def __init__(self, shapes: Shapes, reading: Reading, chance: Random) -> None:
        self._shapes = shapes
        self._reading = reading
        self._chance = chance
        self._unused: list[str] | None = None

    def answer(self) -> Any:
        return self._value(self._shapes.resolved(self._shapes.root), "", 0)

    def _value(self, schema: Schema, name: str, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(schema["enum"])
        match type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, 1, 5))
            case "number":
                return round(self._number(schema, 0.6, 0.97), 2)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _choice(self, options: list[Any]) -> Any:
        return self._chance.choice([each for each in options if each is not None] or options)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = self._shapes.properties(schema)
        known = self._specialist(properties)
        required = set(schema.get("required") or ())
        filled: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in known:
                filled[name] = known[name]
            elif name in required or depth < _DEEPEST:
                filled[name] = self._value(inner, name, depth + 1)
        return filled

    def _specialist(self, properties: dict[str, Schema]) -> dict[str, Any]:
        """What is known of an object by the names of its properties."""
        if is_verdict(self._shapes, properties):
            return verdict(self._shapes, properties, self._reading, self._chance)
        if "body" in properties and ("title" in properties or "slug" in properties):
            return {
                name: value for name, value in page(self._reading, self._chance).items() if name in properties
            }
        return {}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", _MANY)
        items = self._shapes.items(schema)
        if type_of(items) == "object" and "quote" in (properties := self._shapes.properties(items)):
            return [
                self._claim(items, properties, claim, depth)
                for claim in claims(self._reading, least, most, self._chance)
            ]
        if "question" in name:
            found: list[Any] = open_questions(self._reading, most)
            return found + [self._string(items, "question") for _ in range(least - len(found))]
        if re.search(r"citation|_ids$|^ids$", name) and type_of(items) == "string":
            return [claim.id for claim in self._reading.claims[:most]]
        if re.search(r"tag|keyword|topic", name) and type_of(items) == "string":
            return (phrases(self._reading.question.lower()) or ["general"])[: max(least, min(most, 4))]
        return [self._value(items, name, depth + 1) for _ in range(max(least, min(most, 3)))]

    def _claim(self, items: Schema, properties: dict[str, Schema], claim: dict[str, Any], depth: int) -> Any:
        known = {"quote": claim["quote"], "confidence": claim["confidence"]}
        statement = next((each for each in STATEMENTS if each in properties), None)
        if statement:
            known[statement] = claim["statement"]
        known |= {each: claim["source"] for each in ("document", "source") if each in properties}
        filled = {
            name: known[name] if name in known else self._value(inner, name, depth + 1)
            for name, inner in properties.items()
        }
        return {name: self._fitting(value, properties[name]) for name, value in filled.items()}

    def _fitting(self, value: Any, schema: Schema) -> Any:
        """A string within its longest length; a beginning of a quote still is a quote."""
        return value[: schema.get("maxLength", len(value))].rstrip() if isinstance(value, str) else value

    def _number(self, schema: Schema, low: float, high: float) -> float:
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        most = schema.get("maximum", schema.get("exclusiveMaximum"))
        bottom = max(low, least) if least is not None else low
        top = min(high, most) if most is not None else high
        if bottom > top:
            bottom = top = least if least is not None else top
        return self._chance.uniform(bottom, top)

    def _string(self, schema: Schema, name: str) -> str:
        text = self._named(schema, name)
        most = schema.get("maxLength", _LONGEST_STRING)
        text = clipped(text, most)[:most]
        while len(text) < schema.get("minLength", 0):
            text = f"{text} {self._sentence()}".strip()[:most]
        return text

    def _named(self, schema: Schema, name: str) -> str:
        match schema.get("format"):
            case "date":
                return "2026-01-01"
            case "date-time":
                return "2026-01-01T00:00:00Z"
            case "uri":
                return "https://example.org/"
        if "slug" in name:
            return slug(self._reading.question)
        if re.search(r"title|headline|^name$|subject", name):
            return clipped(self._reading.question.rstrip(" ?.!"), 90) or "Untitled"
        if "question" in name:
            return next(iter(open_questions(self._reading, 1)), "What do the documents leave open?")
        if re.search(r"quote|passage|excerpt", name):
            return next((each["quote"] for each in claims(self._reading, 1, 1, self._chance)), "")
        if re.search(r"summary|abstract|answer|body|content|report", name):
            return " ".join(dict.fromkeys(self._sentence() for _ in range(3)))
        return self._sentence()

    def _sentence(self) -> str:
        """The next sentence of the documents; when all are used, the first is used again."""
        if self._unused is None:
            self._unused = self._sentences()
        if not self._unused:
            return "The documents say nothing about this."
        first = self._unused.pop(0)
        self._unused.append(first)
        return first

    def _sentences(self) -> list[str]:
        told = [claim.statement for claim in self._reading.claims]
        for block in self._reading.sources:
            found = ranked(block, self._reading.question, self._chance)[:6]
            told += [passage.statement for passage in found]
        return told
