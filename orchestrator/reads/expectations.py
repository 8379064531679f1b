"""Expectations: what work that is not granted yet would take, by what attempts of its lanes took before."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from contracts.catalog import Catalog
from contracts.lanes import Model
from contracts.limits import Dimension
from orchestrator import calibrations, prices, purses
from orchestrator.deciders.charging import NOT_A_TOKEN, Reserved, reservation
from orchestrator.deciders.estimating import expected_billed_input, expected_input, expected_output
from orchestrator.deciders.pacing import Purse
from orchestrator.deciders.previewing import Bound, lasts
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import attempt, job, subtask
from orchestrator.reads.base import Read
from orchestrator.reads.costs import usd

SAMPLE = 500
"""So many jobs, and so many attempts of a lane, say how long its inputs are."""


class Expected(Read):
    """What it would take, by what attempts of these lanes took before."""

    calls: int
    """Requests to vendors, if every one is answered at once."""
    input_tokens: int
    output_tokens: int
    usd: float
    minutes: float
    """At least, by today's budgets, if the fleet does nothing else."""
    held_by: str
    """What decides the minutes; empty where nothing holds it back."""
    unknown: tuple[str, ...]
    """Lanes of which no attempt is known: their input is not in these figures."""


@dataclass(frozen=True)
class Load:
    """Subtasks of one step that would be run."""

    workflow: str
    step: str
    lane: str
    calls: int


@dataclass
class _Need:
    """What is drawn on one vendor's group."""

    calls: int = 0
    tokens: Reserved = NOT_A_TOKEN


@dataclass(frozen=True)
class Asked:
    """A load that asks a model, with the tokens of one call."""

    load: Load
    model: Model
    raw_tokens: int
    """Of its input, by its characters."""
    input_tokens: int
    """Expected to count against the limits."""
    billed_tokens: int
    """Of its input, expected on the bill."""
    output_tokens: int
    is_known: bool
    """False where no attempt of its lane says how long its input is."""


def asked(
    connection: Connection, catalog: Catalog, like: Select[Any], loads: Iterable[Load]
) -> tuple[Asked, ...]:
    """The loads that ask a model; `like` selects jobs whose inputs are as long as theirs."""
    found = [(load, model) for load in loads if (model := catalog.lanes[load.lane].model)]
    inputs, unknown = _inputs(connection, like, [load for load, _ in found])
    known = calibrations.read(connection, {(model.name, load.lane) for load, model in found})
    return tuple(
        Asked(
            load,
            model,
            raw_tokens=(raw := inputs[load.workflow, load.step]),
            input_tokens=expected_input(learned := known[model.name, load.lane], raw),
            billed_tokens=expected_billed_input(learned, raw),
            output_tokens=expected_output(learned, model.expected_output_tokens, model.max_output_tokens),
            is_known=load.lane not in unknown,
        )
        for load, model in found
    )


def expectation(connection: Connection, calls: Iterable[Asked]) -> Expected:
    """What these calls would take."""
    calls = tuple(calls)
    needs: dict[str, _Need] = defaultdict(_Need)
    input_tokens = output_tokens = nano = 0
    for each in calls:
        model, count = each.model, each.load.calls
        input_tokens += count * each.billed_tokens
        output_tokens += count * each.output_tokens
        nano += count * prices.estimate(model.vendor, model.name, each.billed_tokens, each.output_tokens)
        need = needs[_scope(model)]
        need.calls += count
        need.tokens += _times(count, each.input_tokens, each.output_tokens, model.max_output_tokens)
    bound = max(_bounds(connection, needs), key=lambda each: each.seconds, default=Bound(0.0, ""))
    return Expected(
        calls=sum(each.load.calls for each in calls),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usd=usd(nano),
        minutes=bound.seconds / 60,
        held_by=bound.by,
        unknown=tuple(sorted({each.load.lane for each in calls if not each.is_known})),
    )


def _scope(model: Model) -> str:
    return purses.scope_of(model.vendor, model.group)


def _times(count: int, *tokens: int) -> Reserved:
    return Reserved(*(count * each for each in tokens))


def _bounds(connection: Connection, needs: Mapping[str, _Need]) -> Iterator[Bound]:
    """How long each vendor's group takes at least; they are drawn on side by side."""
    accounts: dict[str, list[Purse]] = defaultdict(list)
    for purse in purses.look(connection, now(connection), {}).values():
        if purse.closed_why != purses.RETIRED:
            accounts[purse.scope].append(purse)
    for scope, need in needs.items():
        if paying := accounts.get(scope):
            taken = reservation(paying[0].charging, need.tokens)
            requests = {Dimension.REQUESTS: need.calls, Dimension.REQUESTS_PER_DAY: need.calls}
            yield lasts(paying, {**taken, **requests})


def _inputs(
    connection: Connection, like: Select[Any], loads: Iterable[Load]
) -> tuple[dict[tuple[str, str], int], set[str]]:
    """How long the inputs of each step are by their characters: as in some of these jobs, or else as in the latest
    attempts of its lane; and the lanes of which neither is known."""
    among = subtask.c.job_id.in_(like.limit(SAMPLE))
    query = (
        select(job.c.workflow, subtask.c.step, func.avg(subtask.c.reserve_input_tokens).label("mean"))
        .join(job, job.c.id == subtask.c.job_id)
        .where(among, subtask.c.reserve_input_tokens > 0)
        .group_by(job.c.workflow, subtask.c.step)
    )
    known = {(row.workflow, row.step): int(row.mean) for row in connection.execute(query)}
    missing = [load for load in loads if (load.workflow, load.step) not in known]
    lanes = {load.lane: _latest(connection, load.lane) for load in missing}
    known |= {(load.workflow, load.step): lanes[load.lane] or 0 for load in missing}
    return known, {lane for lane, mean in lanes.items() if mean is None}


def _latest(connection: Connection, lane: str) -> int | None:
    """The mean of the lane's latest attempts."""
    tokens = attempt.c.estimated_input_tokens
    latest = select(tokens).where(attempt.c.lane == lane, tokens > 0).order_by(attempt.c.id.desc())
    some = latest.limit(SAMPLE).subquery()
    mean = connection.execute(select(func.avg(some.c.estimated_input_tokens))).scalar()
    return None if mean is None else int(mean)
