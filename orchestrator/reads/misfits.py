"""Misfits: what a replay would make of the inputs of jobs, and which it would refuse for them."""

from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, Select, select

from contracts.catalog import Catalog
from contracts.replays import ReplayRequest
from contracts.workflows import Workflow
from orchestrator.deciders.documents import Known
from orchestrator.deciders.previewing import Renewal, renewal
from orchestrator.deciders.replaying import Unfit, digests_in, not_uploaded, renewed
from orchestrator.ledger import artifacts
from orchestrator.ledger.tables import job

MOST_READ = 2000
"""The inputs of so many jobs are read for a preview; beyond that it would take longer than anybody waits."""
AT_ONCE = 500


@dataclass
class Readings:
    """What the inputs of jobs came to that were read; of the oldest `MOST_READ`."""

    unfit: dict[str, Unfit] = field(default_factory=dict)
    """Jobs that would be refused for their inputs."""
    renewed: dict[str, Renewal] = field(default_factory=dict)
    """For the others, what their new inputs say otherwise."""


def readings(
    connection: Connection, catalog: Catalog, chosen: Select[Any], request: ReplayRequest
) -> Readings:
    """What today's contracts and the edit make of the inputs of these jobs."""
    found = Readings()
    known = cache(partial(artifacts.find, connection))
    query = (
        select(job.c.id, job.c.workflow, job.c.inputs)
        .where(job.c.id.in_(chosen))
        .order_by(job.c.id)
        .limit(MOST_READ)
        .execution_options(yield_per=AT_ONCE)
    )
    for row in connection.execute(query):
        workflow = catalog.workflows.get(row.workflow)
        if workflow is None:
            continue  # told of all its jobs together
        new = _renewed(catalog, workflow, row.inputs, request, known)
        if isinstance(new, Unfit):
            found.unfit[row.id] = new
        else:
            found.renewed[row.id] = renewal(workflow, row.inputs, new)
    return found


def _renewed(
    catalog: Catalog, workflow: Workflow, inputs: dict[str, Any], request: ReplayRequest, known: Known
) -> dict[str, Any] | Unfit:
    new = renewed(catalog, workflow, inputs, request.edit, known)
    if isinstance(new, Unfit):
        return new
    for digest in sorted(digests_in(new) - digests_in(inputs)) if request.edit else ():
        if known(digest) is None:
            return not_uploaded(digest)
    return new
