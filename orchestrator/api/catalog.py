"""The catalog as upstream and operators see it: workflows and lanes."""

from fastapi import APIRouter, Path

from orchestrator.api.services import With
from orchestrator.reads.lanes import LaneRead, lane_read, lanes
from orchestrator.reads.paging import Page
from orchestrator.reads.workflows import WorkflowRead, workflows

router = APIRouter(tags=["catalog"])


@router.get("/workflows")
def list_workflows(services: With) -> Page[WorkflowRead]:
    """What may be asked for, with the JSON schema of each workflow's inputs."""
    return Page(items=workflows(services.catalog))


@router.get("/lanes")
def list_lanes(services: With) -> Page[LaneRead]:
    """Every lane's card, what is enforced for it, and how it is doing."""
    with services.ledger.read() as connection:
        return Page(items=lanes(connection, services.catalog, services.settings.lease_seconds))


@router.get("/lanes/{lane}")
def show_lane(services: With, lane: str = Path(max_length=64)) -> LaneRead:
    with services.ledger.read() as connection:
        return lane_read(connection, services.catalog, services.settings.lease_seconds, lane)
