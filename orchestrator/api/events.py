"""Events of a job as they happen, as server-sent events that a reader can resume."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from orchestrator.api.parameters import IdOrPrefix
from orchestrator.api.services import Services, With
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.reads import ids
from orchestrator.reads.base import Read
from orchestrator.reads.events import Tail, tail

router = APIRouter(tags=["jobs"])
SHORTEST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 1.0
LARGEST_SEQ = 2**62


class End(Read):
    """The last event of a stream: how the job ended."""

    state: str
    why: str


def _known(services: With, job_id: IdOrPrefix) -> str:
    """Refuses an unknown job before the stream has begun."""
    with services.ledger.read() as connection:
        return ids.job_id(connection, job_id)


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def events(
    services: With,
    known: Annotated[str, Depends(_known)],
    last_event_id: Annotated[int | None, Header(ge=0, le=LARGEST_SEQ)] = None,
    after: Annotated[int, Query(ge=0, le=LARGEST_SEQ, description="begin after this event")] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Each event under its own number, then one named ``end`` when the job has ended. Come back with
    ``Last-Event-ID`` to go on where the stream broke off."""
    seen, pause = last_event_id if last_event_id is not None else after, SHORTEST_POLL_SECONDS
    while True:
        found = await _look(services, known, seen)
        if found is None:
            return
        for event in found.events:
            seen, pause = event.seq, SHORTEST_POLL_SECONDS
            yield ServerSentEvent(id=str(event.seq), event=event.kind, data=event)
        if found.ended:
            yield ServerSentEvent(event="end", data=End(state=found.state, why=found.why))
            return
        if not found.events:
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_POLL_SECONDS)


async def _look(services: Services, job_id: str, seen: int) -> Tail | None:
    """The next events; None where the ledger went away, so that the stream breaks off and is resumed."""

    def read() -> Tail:
        with services.ledger.read() as connection:
            return tail(connection, job_id, seen)

    try:
        return await run_sync(read)
    except LedgerUnreachable:
        return None
