"""Figures of work: jobs, subtasks and attempts, by what came of them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection, case, func, select, true

from contracts.states import JOB_ENDS, AttemptState, JobState
from orchestrator.ledger.tables import attempt, gate_event, job, subtask
from orchestrator.reads.costs import saved_by, usd
from orchestrator.reads.figures.names import NOBODY, Figure


def ended_work(connection: Connection) -> Iterator[Metric]:
    """Jobs and subtasks that ended, gates passed and refused, and what a success cost."""
    yield _jobs(connection)
    yield _subtasks(connection)
    yield _gates(connection)
    yield _cost_per_success(connection)
    yield _saved(connection)


def attempts(connection: Connection) -> Iterator[Metric]:
    """Attempts with their tokens, money, time and answers, out of one pass over the table."""
    tried = CounterMetricFamily(Figure.ATTEMPTS, "Attempts that ended.", labels=["lane", "category"])
    doorbells = CounterMetricFamily(
        Figure.DOORBELLS,
        "Doorbells rung for attempts that ended: one each, where none is lost.",
        labels=["lane"],
    )
    tokens = CounterMetricFamily(
        Figure.TOKENS,
        "Tokens as the vendors counted them; the kinds do not overlap.",
        labels=["vendor", "model", "lane", "purpose", "kind"],
    )
    cost = CounterMetricFamily(
        Figure.COST_USD, "What calls cost.", labels=["vendor", "model", "lane", "purpose"]
    )
    seconds = CounterMetricFamily(
        Figure.WORKER_SECONDS, "Time that workers spent.", labels=["lane", "purpose"]
    )
    responses = CounterMetricFamily(
        Figure.VENDOR_RESPONSES,
        "What vendors' answers said of account and vendor; silent where none came.",
        labels=["vendor", "group", "kind"],
    )
    rows = connection.execute(_attempts_grouped()).all()
    _add(tried, rows, lambda row: (row.lane, _category(row)), lambda row: row.total)
    _add(doorbells, rows, lambda row: (row.lane,), lambda row: int(row.rings))
    for kind, column in (
        ("input", "fresh_tokens"),
        ("cached_input", "cached_tokens"),
        ("output", "output_tokens"),
    ):
        _add(
            tokens,
            _called(rows),
            lambda row, k=kind: (*_call(row), k),
            lambda row, c=column: int(getattr(row, c)),
        )
    _add(cost, _called(rows), _call, lambda row: int(row.nano), usd)
    _add(seconds, rows, lambda row: (row.lane, row.purpose), lambda row: float(row.seconds))
    _add(
        responses,
        (row for row in _called(rows) if row.kind is not None),
        lambda row: (row.vendor, _group(row), row.kind),
        lambda row: row.total,
    )
    yield from (tried, doorbells, tokens, cost, seconds, responses)


def _jobs(connection: Connection) -> Metric:
    family = CounterMetricFamily(Figure.JOBS, "Jobs that ended.", labels=["workflow", "purpose", "outcome"])
    rows = connection.execute(
        select(job.c.workflow, job.c.purpose, job.c.state, func.count().label("total"))
        .where(job.c.state.in_(list(JOB_ENDS)))
        .group_by(job.c.workflow, job.c.purpose, job.c.state)
    )
    for row in rows:
        family.add_metric([row.workflow, row.purpose, row.state], row.total)
    return family


def _subtasks(connection: Connection) -> Metric:
    family = CounterMetricFamily(
        Figure.SUBTASKS, "Subtasks that ended.", labels=["lane", "purpose", "outcome"]
    )
    rows = connection.execute(
        select(subtask.c.lane, subtask.c.purpose, subtask.c.state, func.count().label("total"))
        .where(subtask.c.ended_at.is_not(None))
        .group_by(subtask.c.lane, subtask.c.purpose, subtask.c.state)
    )
    for row in rows:
        family.add_metric([row.lane or NOBODY, row.purpose, row.state], row.total)
    return family


def _gates(connection: Connection) -> Metric:
    family = CounterMetricFamily(Figure.GATE_EVENTS, "What gates decided.", labels=["gate", "result"])
    rows = connection.execute(
        select(gate_event.c.gate, gate_event.c.result, func.count().label("total")).group_by(
            gate_event.c.gate, gate_event.c.result
        )
    )
    for row in rows:
        family.add_metric([row.gate, row.result], row.total)
    return family


def _cost_per_success(connection: Connection) -> Metric:
    """All that a workflow's ended jobs cost, the failed ones too, over those that ended well."""
    family = GaugeMetricFamily(
        Figure.COST_PER_SUCCESS_USD, "Cost of all ended jobs per job done.", labels=["workflow"]
    )
    spent = (
        select(attempt.c.job_id, func.sum(attempt.c.cost_nano_usd).label("nano"))
        .group_by(attempt.c.job_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            job.c.workflow,
            func.count(case((job.c.state == JobState.DONE, 1))).label("done"),
            func.coalesce(func.sum(spent.c.nano), 0).label("nano"),
        )
        .outerjoin(spent, spent.c.job_id == job.c.id)
        .where(job.c.state.in_(list(JOB_ENDS)))
        .group_by(job.c.workflow)
    )
    for row in rows:
        if row.done:
            family.add_metric([row.workflow], usd(row.nano) / row.done)
    return family


def _saved(connection: Connection) -> Metric:
    family = CounterMetricFamily(
        Figure.SAVED_USD, "What answers given again would have cost.", labels=["lane"]
    )
    for lane, saved in saved_by(connection, subtask.c.lane, true()).items():
        family.add_metric([lane], saved.usd)
    return family


_KIND = attempt.c.report["call", "signal", "kind"].as_string()
"""Out of the report: a failure's code says what became of the work, and not always what the vendor said."""


def _attempts_grouped() -> Any:
    keys = [attempt.c[name] for name in ("lane", "purpose", "vendor", "model", "budget", "state", "category")]
    kind = _KIND.label("kind")
    fresh = attempt.c.input_tokens - attempt.c.cached_input_tokens
    return (
        select(
            *keys,
            kind,
            func.count().label("total"),
            func.sum(attempt.c.rings).label("rings"),
            func.sum(fresh).label("fresh_tokens"),
            func.sum(attempt.c.cached_input_tokens).label("cached_tokens"),
            func.sum(attempt.c.output_tokens).label("output_tokens"),
            func.sum(attempt.c.cost_nano_usd).label("nano"),
            func.sum(attempt.c.worker_seconds).label("seconds"),
        )
        .where(attempt.c.ended_at.is_not(None))
        .group_by(*keys, kind)
    )


def _add(family: CounterMetricFamily, rows: Any, labels: Any, amount: Any, shown: Any = float) -> None:
    """Adds the rows' amounts up by label; the sums are shown as one sample each."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        sums[labels(row)] += amount(row)
    for key, total in sums.items():
        family.add_metric(list(key), shown(total))


def _called(rows: Any) -> Iterator[Any]:
    return (row for row in rows if row.vendor is not None)


def _call(row: Any) -> tuple[str, ...]:
    return (row.vendor, row.model or NOBODY, row.lane, row.purpose)


def _category(row: Any) -> str:
    """What came of an attempt: a category of failure, or how it ended without one."""
    if row.category:
        return str(row.category)
    return "completed" if row.state == AttemptState.SETTLED else str(row.state)


def _group(row: Any) -> str:
    """The group of models, out of the budget's key ``vendor/account/group``."""
    return row.budget.rpartition("/")[2] if row.budget else NOBODY
