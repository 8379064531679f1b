"""Figures of how things stand now: queues, people, budgets, the leader and the tax."""

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection, func, select

from contracts.catalog import Catalog
from orchestrator import escalations, purses
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import approval, dead_letter, escalation, worker
from orchestrator.reads.budgets import budgets
from orchestrator.reads.figures.names import Figure
from orchestrator.reads.queues import NO_LANE, Queue, queues
from orchestrator.reads.readiness import leads
from orchestrator.reads.tax import tax
from orchestrator.selections import unsettled

SILENT_SHOWN_SECONDS = 600.0
"""For so long a worker that fell silent is shown."""


def lanes(connection: Connection, catalog: Catalog) -> Iterator[Metric]:
    """What waits and runs in every lane of the catalog, and in lanes that only older jobs still know. Dead letters
    of no lane, such as rejected approvals, are a row of their own with an empty name."""
    waiting = queues(connection)
    of_no_lane = waiting.pop(NO_LANE, Queue())
    figures = {
        "ready": GaugeMetricFamily(Figure.READY, "Subtasks that could be dispatched now.", labels=["lane"]),
        "oldest_ready_seconds": GaugeMetricFamily(
            Figure.OLDEST_READY_SECONDS, "How long the oldest of them has been ready.", labels=["lane"]
        ),
        "running": GaugeMetricFamily(Figure.RUNNING, "Subtasks that a worker is at.", labels=["lane"]),
        "submitted": GaugeMetricFamily(
            Figure.SUBMITTED, "Subtasks that wait for a vendor's batch.", labels=["lane"]
        ),
        "dead_letters": GaugeMetricFamily(
            Figure.DEAD_LETTERS, "Dead letters that nobody discarded or ran again.", labels=["lane"]
        ),
    }
    for lane in sorted({*catalog.lanes, *waiting}):
        for name, family in figures.items():
            family.add_metric([lane], getattr(waiting.get(lane, Queue()), name))
    figures["dead_letters"].add_metric([NO_LANE], of_no_lane.dead_letters)
    yield from figures.values()


def people(connection: Connection) -> Iterator[Metric]:
    """What waits for a person, and whether the path to one was exercised."""
    at = now(connection)
    asked = connection.execute(
        select(func.count().label("total"), func.min(approval.c.asked_at).label("oldest")).where(
            approval.c.state == "waiting"
        )
    ).one()
    yield _gauge(Figure.APPROVALS_WAITING, "Questions that wait for a person.", asked.total)
    yield _gauge(Figure.OLDEST_APPROVAL_SECONDS, "How long the oldest has waited.", _age(at, asked.oldest))
    oldest = select(dead_letter.c.at).where(unsettled()).order_by(dead_letter.c.at).limit(1)
    yield _gauge(
        Figure.OLDEST_DEAD_LETTER_SECONDS,
        "How long the oldest of them has lain.",
        _age(at, connection.execute(oldest).scalar()),
    )
    yield from _drill(connection, at)


def _drill(connection: Connection, at: float) -> Iterator[Metric]:
    """The age of the last drill that a person answered; if none was, of the first that nobody did."""
    row = connection.execute(
        select(
            func.max(escalation.c.acknowledged_at).label("answered"),
            func.min(escalation.c.opened_at).label("first"),
        ).where(escalation.c.drill.is_(True))
    ).one()
    if row.first is not None:
        since = row.first if row.answered is None else row.answered
        yield _gauge(
            Figure.ESCALATION_DRILL_AGE_SECONDS, "Since a person last answered a drill.", _age(at, since)
        )


def promises(connection: Connection) -> Iterator[Metric]:
    """Which promises the ledger was found to break. Looking costs too much for a figure, so that this is what the
    clock found and nobody has taken note of."""
    family = GaugeMetricFamily(
        Figure.INVARIANTS_BROKEN,
        "Promises the ledger breaks, until somebody takes note of the call about it.",
        labels=["invariant"],
    )
    for subject in sorted(escalations.called(connection, escalations.ABOUT_PROMISES)):
        family.add_metric([subject.removeprefix(escalations.ABOUT_PROMISES)], 1)
    yield family


def pace(connection: Connection) -> Iterator[Metric]:
    """What a vendor's accounts together allow a group and what is left, by dimension. Where one of them is open
    the group is; where all are closed it carries the time of the first opening, in seconds since 1970. An account
    that the catalog no longer names is none of them."""
    labels = ["vendor", "group", "dimension"]
    limit = GaugeMetricFamily(
        Figure.BUDGET_LIMIT, "Per minute or day, all accounts; concurrency in calls.", labels=labels
    )
    level = GaugeMetricFamily(Figure.BUDGET_LEVEL, "What all accounts may use now.", labels=labels)
    closed = GaugeMetricFamily(
        Figure.BUDGET_CLOSED_UNTIL_SECONDS,
        "When the first account opens again, since 1970; 0 while one is open.",
        labels=labels,
    )
    limits: dict[tuple[str, ...], float] = defaultdict(float)
    levels: dict[tuple[str, ...], float] = defaultdict(float)
    opens: dict[tuple[str, str], float] = {}
    for budget in budgets(connection):
        if budget.closed_why == purses.RETIRED:
            continue
        group = budget.vendor, budget.group
        for part in budget.dimensions:
            limits[*group, part.dimension] += part.limit
            levels[*group, part.dimension] += part.level
        until = budget.closed_until.timestamp() if budget.closed_until else 0.0
        opens[group] = min(opens.get(group, until), until)
    for key in limits:
        limit.add_metric(key, limits[key])
        level.add_metric(key, levels[key])
    for group, until in opens.items():
        closed.add_metric([*group, "all"], until)
    yield from (limit, level, closed)


def workers(connection: Connection) -> Iterator[Metric]:
    """Workers that lately took nothing although there was work for them, whatever became of them since: each is
    told to leave at its next beat, which is sooner than anybody scrapes."""
    lately = worker.c.silent_at > now(connection) - SILENT_SHOWN_SECONDS
    found = connection.execute(select(func.count()).where(lately)).scalar_one()
    yield _gauge(
        Figure.WORKERS_SILENT,
        "Workers found within ten minutes to take no work that waited for them.",
        found,
    )


def leader(connection: Connection) -> Iterator[Metric]:
    yield _gauge(Figure.ORCHESTRATOR_LEADER, "Whether an orchestrator leads.", int(leads(connection)))


def autonomy_tax(connection: Connection) -> Iterator[Metric]:
    """Everything but feature over everything, over the trailing day."""
    family = GaugeMetricFamily(
        Figure.AUTONOMY_TAX_RATIO, "Share that is not feature, trailing day.", labels=["unit"]
    )
    for unit, share in tax(connection).tax.model_dump().items():
        family.add_metric([unit], share or 0.0)
    yield family


def _gauge(figure: Figure, says: str, value: float) -> Metric:
    return GaugeMetricFamily(figure, says, value=value)


def _age(at: float, since: float | None) -> float:
    return 0.0 if since is None else max(at - since, 0.0)
