"""Replays: ended work run again; looked at first, opened with a reason, followed and aborted."""

from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from contracts.catalog import Catalog
from contracts.replays import AbortRequest, ItemState, ReplayRequest, Selection
from orchestrator import replaying
from orchestrator.api.parameters import DEFAULT_LIMIT, Cursor, IdOrPrefix, Limit
from orchestrator.api.services import With
from orchestrator.problems import Conflict, Forbidden
from orchestrator.reads import ids
from orchestrator.reads.dead_letters import whole_signature
from orchestrator.reads.paging import Page
from orchestrator.reads.previews import ReplayPreview, preview
from orchestrator.reads.replays import ItemRead, ReplayLine, ReplayRead, items_of, progress, replay_lines

router = APIRouter(prefix="/replays", tags=["dead letters"])
ID_LENGTH = 26


@router.post("", status_code=201)
def post_replay(services: With, request: ReplayRequest, response: Response) -> ReplayPreview | ReplayRead:
    """Says what a replay would do; with ``"dry_run": false`` it is opened, and 201 answers it."""
    with services.ledger.read() as connection:
        whole = request.model_copy(update={"selection": _whole(connection, request.selection)})
        if whole.dry_run:
            replaying.check(whole)
            replaying.check_ids(connection, whole.selection)
            replaying.check_paused(connection, whole.selection)
            shown = preview(connection, services.catalog, whole)
            against = tuple(_obstacles(connection, services.catalog, whole, shown))
            response.status_code = 200
            return shown.model_copy(update={"obstacles": against + shown.obstacles})
    opened = replaying.open_replay(services.ledger, services.catalog, whole)
    response.headers["Location"] = f"/v1/replays/{opened}"
    with services.ledger.read() as connection:
        return progress(connection, opened)


@router.get("")
def list_replays(services: With, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[ReplayLine]:
    """Replays, the latest first."""
    with services.ledger.read() as connection:
        return replay_lines(connection, limit, cursor)


@router.get("/{replay_id}")
def show_replay(services: With, replay_id: IdOrPrefix) -> ReplayRead:
    """How far a replay is, what failed anew, and where it stands in a chain of replays."""
    with services.ledger.read() as connection:
        return progress(connection, replay_id)


@router.get("/{replay_id}/items")
def list_items(
    services: With,
    replay_id: IdOrPrefix,
    state: Annotated[ItemState | None, Query()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ItemRead]:
    """Its jobs, each with the new job it became."""
    with services.ledger.read() as connection:
        return items_of(connection, ids.replay_id(connection, replay_id), state, limit, cursor)


@router.post("/{replay_id}/abort")
def abort_replay(services: With, replay_id: IdOrPrefix, wanted: AbortRequest) -> ReplayRead:
    """Releases nothing more of it. What was released goes on, or is cancelled where that is asked for."""
    with services.ledger.read() as connection:
        whole = ids.replay_id(connection, replay_id)
    replaying.abort(services.ledger, whole, wanted.by, wanted.why, wanted.cancel)
    with services.ledger.read() as connection:
        return progress(connection, whole)


def _whole(connection: Connection, selection: Selection) -> Selection:
    """With whole ids and the whole signature where they were given by how they begin."""
    named = tuple(each if len(each) == ID_LENGTH else ids.work_id(connection, each) for each in selection.ids)
    changes: dict[str, object] = {"ids": named}
    if selection.signature is not None:
        changes["signature"] = whole_signature(connection, selection.signature)
    if selection.downstream_of is not None:
        changes["downstream_of"] = ids.subtask_id(connection, selection.downstream_of)
    return selection.model_copy(update=changes)


def _obstacles(
    connection: Connection, catalog: Catalog, request: ReplayRequest, shown: ReplayPreview
) -> Iterator[str]:
    """What another replay or an approval stands in the way of; whatever is plainly wrong is refused."""
    workflows = [share.name for share in shown.workflows]
    checks: tuple[Callable[[], None], ...] = (
        lambda: replaying.check_free(connection, request.selection),
        lambda: replaying.check_again(connection, request),
        lambda: replaying.check_workflows(request, catalog, workflows),
    )
    for check in checks:
        try:
            check()
        except (Conflict, Forbidden) as refusal:
            yield str(refusal)
