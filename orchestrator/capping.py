"""Capping: what an operator lets be spent, written down with who said so and why."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, select, update

from contracts.catalog import Catalog
from contracts.purposes import Purpose
from contracts.reports import NANO
from orchestrator import spending
from orchestrator.deciders.spending import Period, Scope
from orchestrator.ledger import changes
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.missing import insert_missing
from orchestrator.ledger.tables import job, spending_cap
from orchestrator.problems import Conflict, Malformed, NotFound
from orchestrator.wake import ring


def set_cap(
    ledger: Ledger,
    catalog: Catalog,
    scope: Scope,
    name: str,
    period: Period,
    limit_usd: float | None,
    by: str,
    reason: str,
) -> None:
    """Sets a cap, or removes it where `limit_usd` is None. Raises a Problem for a name that is not known, a
    period that a scope does not have, and a cap to remove that is not there."""
    _check(catalog, scope, name, period)
    limit = None if limit_usd is None else round(limit_usd * NANO)
    with ledger.write() as connection:
        if scope is Scope.JOB:
            old = _set_job(connection, name, limit)
        else:
            old = _set(connection, scope, name, period, limit)
        what = f"spending cap of {' '.join(filter(None, (scope, name)))}, {period}"
        changes.record(connection, by, what, _told(old), _told(limit), reason)
        ring(connection)


def _check(catalog: Catalog, scope: Scope, name: str, period: Period) -> None:
    match scope:
        case Scope.FLEET:
            if name:
                raise Malformed(f"name: there is one fleet, and its cap has no name; it is “{name}” here")
        case Scope.LANE:
            _known("lane", name, catalog.lanes)
        case Scope.PURPOSE:
            _known("purpose", name, [*Purpose])
        case Scope.JOB if period is not Period.TOTAL:
            raise Malformed("period: the cap of a job is on all it spends: total")
        case _ if not name:
            raise Malformed(f"name: say which {scope} is capped")


def _known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise Malformed(f"name: no {kind} “{name}”; known are: {', '.join(sorted(known))}")


def _set_job(connection: Connection, job_id: str, limit: int | None) -> int | None:
    """Sets a job's own cap and answers the one it had."""
    row: Any = connection.execute(
        select(job.c.state, job.c.ended_at, job.c.max_cost_nano_usd)
        .where(job.c.id == job_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"no job {job_id} is in the ledger")
    if row.ended_at is not None:
        raise Conflict(f"job {job_id} has ended ({row.state}); what ended stays ended")
    if limit is None and row.max_cost_nano_usd is None:
        raise NotFound(f"job {job_id} has no spending cap to remove")
    connection.execute(update(job).where(job.c.id == job_id).values(max_cost_nano_usd=limit))
    if row.max_cost_nano_usd is None:
        spending.begin_job(connection, job_id)
    old: int | None = row.max_cost_nano_usd
    return old


def _set(connection: Connection, scope: Scope, name: str, period: Period, limit: int | None) -> int | None:
    """Sets any other cap and answers the limit it had."""
    key = {"scope": scope, "name": name, "period": period}
    this = [spending_cap.c[column] == value for column, value in key.items()]
    old: int | None = connection.execute(
        select(spending_cap.c.limit_nano_usd).where(*this).with_for_update()
    ).scalar_one_or_none()
    if limit is not None:
        insert_missing(connection, spending_cap, [key | {"limit_nano_usd": limit}])
        connection.execute(update(spending_cap).where(*this).values(limit_nano_usd=limit))
    elif old is None:
        raise NotFound(f"{' '.join(filter(None, (scope, name)))} has no spending cap ({period}) to remove")
    else:
        connection.execute(delete(spending_cap).where(*this))
    return old


def _told(limit: int | None) -> str:
    return "none" if limit is None else f"{limit / NANO:.9f}".rstrip("0").rstrip(".") + " USD"
