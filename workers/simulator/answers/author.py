"""The author of answers: writes what is asked, and errs where chance or a script says so."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from workers.simulator.answers.claims import altered
from workers.simulator.answers.filler import Filler
from workers.simulator.answers.prompt import Reading
from workers.simulator.answers.relevance import ranked
from workers.simulator.answers.schema import Shapes
from workers.simulator.answers.spoiling import grown, misshapen, ordering, quotes_of, shortened
from workers.simulator.call import Call
from workers.simulator.chance import Lot
from workers.simulator.faults import Fault
from workers.simulator.settings import Errors
from workers.simulator.tokens import count_tokens

_SHORT = ("A short brief.", "An overview.", "What the sources say.")


@dataclass
class Answer:
    """A text, and what was done to it on purpose."""

    text: str
    refused: bool = False
    cut_at_tokens: int | None = None
    injected: set[str] = field(default_factory=set)


def written(call: Call, reading: Reading, lot: Lot, errors: Errors, fault: Fault | None) -> Answer:
    """The answer to a call. Seeded errors stay away where a script acts, and where the prompt lists earlier
    findings: whoever is told of a flaw settles it."""
    seeded = fault is None and not reading.told_before
    if fault is Fault.REFUSAL:
        return Answer("", refused=True, injected={fault})
    if fault is Fault.EMPTY:
        return Answer("", injected={fault})
    if call.schema is None:
        answer = Answer(_prose(reading, lot))
    else:
        value = Filler(Shapes(call.schema), reading, lot.stream("answer")).answer()
        answer = _spoiled(value, reading, lot, errors if seeded else None, fault)
    if fault is Fault.NOT_JSON:
        answer = Answer(f"Here is what I found:\n\n{_prose(reading, lot)}", injected={fault})
    if fault is Fault.CUT or (seeded and lot.falls("cut", errors.cut)):
        answer.injected.add(Fault.CUT)
        answer.cut_at_tokens = max(
            1, round(count_tokens(answer.text) * lot.stream("cut at").uniform(0.3, 0.8))
        )
    return answer


def _spoiled(value: Any, reading: Reading, lot: Lot, errors: Errors | None, fault: Fault | None) -> Answer:
    """The value as compact JSON, with the errors that fall on it."""
    injected: set[str] = set()
    if _misquote(value, reading, lot, errors, all_quotes=fault is Fault.BAD_QUOTE):
        injected.add(Fault.BAD_QUOTE)
    short = fault is Fault.SHORT_DESCRIPTION or (
        errors is not None and lot.falls("short description", errors.short_description)
    )
    if short and shortened(value, lot.stream("short").choice(_SHORT)):
        injected.add(Fault.SHORT_DESCRIPTION)
    if fault is Fault.INJECTION and ordering(value):
        injected.add(fault)
    if fault is Fault.WRONG_SCHEMA:
        value = misshapen(value)
        injected.add(fault)
    if fault is Fault.HUGE:
        value = grown(value)
        injected.add(fault)
    return Answer(json.dumps(value, ensure_ascii=False, separators=(",", ":")), injected=injected)


def _misquote(value: Any, reading: Reading, lot: Lot, errors: Errors | None, all_quotes: bool) -> bool:
    """Alter quotes, each with the chance of ``bad_quote``; says whether any was altered. Chance alone leaves
    one quote standing: what makes a whole document worthless is for a script to say."""
    chance = lot.stream("bad quote")
    document = "\n".join(block.text for block in reading.sources)
    items = list(quotes_of(value))
    fallen = [item for item in items if all_quotes or (errors and chance.random() < errors.bad_quote)]
    for item in fallen if all_quotes else fallen[: len(items) - 1]:
        item["quote"] = altered(item["quote"], document, chance)
    return bool(fallen if all_quotes else fallen[: len(items) - 1])


def _prose(reading: Reading, lot: Lot) -> str:
    """An answer without a shape: a few sentences of the documents."""
    chance: Random = lot.stream("answer")
    found = [
        passage.statement
        for block in reading.sources
        for passage in ranked(block, reading.question, chance)[:2]
    ]
    return " ".join(found[:4]) or "The documents do not answer this."
