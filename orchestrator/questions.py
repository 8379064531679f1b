"""Questions to people, as rows of the ledger."""

from typing import Any

from sqlalchemy import or_

from orchestrator.ledger.ids import new_id
from orchestrator.ledger.tables import approval, subtask

ASKING = or_(subtask.c.lane.is_(None), subtask.c.asks == approval.c.id)
"""Whether an approval is what its subtask is parked for: a step of a person has no lane and nothing else to wait for,
and on a rung of a ladder the subtask says which question it is. One that it was asked before holds it no more."""


def question(
    job: Any, subtask_id: str, digest: str, packet: dict[str, Any], at: float, hours: float
) -> dict[str, Any]:
    """The row of a new question about this digest; after so many hours it lapses."""
    return {
        "id": new_id(),
        "subtask_id": subtask_id,
        "job_id": job.id,
        "tenant": job.tenant,
        "requested_by": job.requested_by,
        "digest": digest,
        "packet": packet,
        "state": "waiting",
        "asked_at": at,
        "expires_at": at + hours * 3600,
    }
