"""Answers whose length is all that matters."""

import json
from math import log, sqrt
from random import Random
from typing import Any

from workers.simulator.answers.author import Answer
from workers.simulator.answers.filler import Filler
from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.schema import Shapes, type_of
from workers.simulator.call import Call
from workers.simulator.chance import Lot
from workers.simulator.settings import Load
from workers.simulator.tokens import count_tokens

_WORD = "word "
"""One token."""


def loaded(call: Call, reading: Reading, load: Load, seed: int) -> Answer:
    """An answer that fits the schema and has as many tokens as this prompt's documents want: its first
    property that is a string is filled up. Another try at the same documents wants the same length."""
    lot = Lot("/".join([str(seed), "load", *(block.text for block in reading.sources)]))
    tokens = _length(load, lot.stream("length"))
    if call.schema is None:
        return Answer(_words(tokens))
    shapes = Shapes(call.schema)
    value = _value(shapes, reading, lot)
    return Answer(_written(_grown(shapes, value, tokens)))


def _length(load: Load, chance: Random) -> int:
    """Log-normal with the wanted mean and coefficient of variation, in tokens."""
    variance = log(1 + load.cv**2)
    return max(1, round(chance.lognormvariate(log(load.mean_output_tokens) - variance / 2, sqrt(variance))))


def _value(shapes: Shapes, reading: Reading, lot: Lot) -> Any:
    """A value of the schema. One that is a string and nothing else needs no reading of documents."""
    properties = shapes.properties(shapes.resolved(shapes.root))
    if [type_of(inner) for inner in properties.values()] == ["string"]:
        return dict.fromkeys(properties, "")
    return Filler(shapes, reading, lot.stream("answer")).answer()


def _grown(shapes: Shapes, value: Any, tokens: int) -> Any:
    properties = shapes.properties(shapes.resolved(shapes.root))
    name = next((name for name, inner in properties.items() if type_of(inner) == "string"), None)
    if name is None or not isinstance(value, dict):
        return value
    frame = count_tokens(_written({**value, name: ""}))
    return {**value, name: _words(max(1, tokens - frame))}


def _words(tokens: int) -> str:
    return (_WORD * tokens).rstrip()


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
