"""Each kind of event is told in words."""

from datetime import UTC, datetime

import pytest

from orchestrator.ledger.events import EventKind
from orchestrator.reads.events import EventRead
from orchestrator.reads.telling import told


@pytest.mark.parametrize("kind", EventKind)
def test_no_kind_of_event_is_told_by_its_name(kind: EventKind) -> None:
    event = EventRead(
        seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), kind=kind, actor="loop", subtask_id=None, subtask="draft",
        attempt_id=None, old="ready", new="parked", sentence="so it went",
    )  # fmt: skip
    assert kind not in told(event).sentence
    assert told(event).sentence.endswith("so it went")
