"""Misfits: jobs whose inputs a replay would refuse, as they are or as an edit would make them."""

from typing import Any

from sqlalchemy import Connection, Select, select

from contracts.catalog import Catalog
from contracts.replays import ReplayRequest
from orchestrator.deciders.replaying import Unfit, digests_in, not_uploaded, renewed
from orchestrator.ledger import artifacts
from orchestrator.ledger.tables import job

MOST_READ = 2000
"""The inputs of so many jobs are read for a preview; beyond that it would take longer than anybody waits."""
AT_ONCE = 500


def misfits(
    connection: Connection, catalog: Catalog, chosen: Select[Any], request: ReplayRequest
) -> dict[str, Unfit]:
    """Of these jobs, of which the oldest `MOST_READ` are looked at, those that would be refused for their inputs."""
    found: dict[str, Unfit] = {}
    uploaded: dict[str, bool] = {}
    query = (
        select(job.c.id, job.c.workflow, job.c.inputs)
        .where(job.c.id.in_(chosen))
        .order_by(job.c.id)
        .limit(MOST_READ)
        .execution_options(yield_per=AT_ONCE)
    )
    for row in connection.execute(query):
        if unfit := _misfit(connection, catalog, row, request, uploaded):
            found[row.id] = unfit
    return found


def _misfit(
    connection: Connection, catalog: Catalog, row: Any, request: ReplayRequest, uploaded: dict[str, bool]
) -> Unfit | None:
    workflow = catalog.workflows.get(row.workflow)
    if workflow is None:
        return None  # told of all its jobs together
    new = renewed(catalog, workflow, row.inputs, request.edit)
    if isinstance(new, Unfit):
        return new
    for digest in sorted(digests_in(new) - digests_in(row.inputs)) if request.edit else ():
        if digest not in uploaded:
            uploaded[digest] = artifacts.find(connection, digest) is not None
        if not uploaded[digest]:
            return not_uploaded(digest)
    return None
