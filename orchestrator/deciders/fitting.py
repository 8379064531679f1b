"""Whether work fits its model. Nothing is ever cut to make it fit."""

import math
from collections.abc import Iterator
from typing import Any

from contracts.catalog import Catalog
from contracts.handoffs import EARLIER_CHARACTERS, Handoff, Tried
from contracts.lanes import Lane
from contracts.workflows import Workflow

CHARACTERS_PER_TOKEN = 4
"""The usual rule of thumb for English text; the vendors' own limiters estimate with it too."""
FRAME_TOKENS = 400
"""For the parts of a prompt that stand around the material."""


def tokens_of(size_bytes: int) -> int:
    """An estimate of the tokens in so many bytes of text."""
    return math.ceil(size_bytes / CHARACTERS_PER_TOKEN)


def room(lane: Lane, catalog: Catalog) -> int:
    """How many input tokens a lane's model takes, beside the output it may produce."""
    assert lane.model is not None
    context = catalog.group(lane).models[lane.model.name].context_tokens
    return context - lane.model.max_output_tokens


def misfit(handoff: Handoff, catalog: Catalog) -> str | None:
    """A sentence where a handoff is too large for the model that it goes to, with the numbers."""
    route = handoff.route
    if route is None:
        return None
    model = catalog.vendors[route.vendor].groups[route.group].models[route.model]
    tokens, takes = input_tokens(handoff), model.context_tokens - route.max_output_tokens
    return f"about {tokens} tokens, and {route.model} takes {takes}" if tokens > takes else None


def too_large(workflow: Workflow, catalog: Catalog, inputs: dict[str, Any]) -> tuple[str, ...]:
    """A sentence for each document that no model of its lane can take, with the numbers."""
    return tuple(_too_large(workflow, catalog, inputs))


def _too_large(workflow: Workflow, catalog: Catalog, inputs: dict[str, Any]) -> Iterator[str]:
    for name, step in workflow.steps.items():
        lane = catalog.lanes.get(step.lane or "")
        if not (lane and lane.model and step.for_each and step.for_each.startswith("inputs.")):
            continue
        fits = room(lane, catalog) - FRAME_TOKENS
        for item in inputs[step.for_each.removeprefix("inputs.")]:
            size = item["artifact"]["size_bytes"] if isinstance(item, dict) and item.get("artifact") else 0
            if tokens_of(size) > fits:
                yield (
                    f"document “{item['name']}” is too large for step {name}: ~{tokens_of(size)} tokens, "
                    f"{tokens_of(size) - fits} more than the {fits} that {lane.model.name} takes; split it"
                )


def input_tokens(handoff: Handoff) -> int:
    """An estimate of the input tokens of the request that this handoff becomes."""
    given = sum(item.artifact.size_bytes for item in handoff.context if item.artifact)
    words = len(handoff.subproblem) + len(handoff.role) + sum(len(line) for line in handoff.success)
    values = sum(len(str(item.value)) for item in handoff.context if item.value is not None)
    tried = sum(_shown(each) for each in handoff.tried if each.is_told)
    return FRAME_TOKENS + tokens_of(given + words + values + tried)


def _shown(tried: Tried) -> int:
    """How much of an earlier try stands in the request."""
    size = tried.artifact.size_bytes if tried.artifact else 0
    shown = size if tried.is_shown_whole else min(size, EARLIER_CHARACTERS)
    return len(tried.sentence) + len(tried.kept) + shown
