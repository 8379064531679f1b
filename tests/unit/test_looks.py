"""Which closed work is read again."""

from typing import Any

from sqlalchemy import create_engine, insert

from contracts.ticks import Tick
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger.tables import job
from orchestrator.upkeep import looks

TICK = load_catalog().ticks["re-review"]
ALL = TICK.model_copy(update={"settings": TICK.settings | {"sample_percent": 100, "most_at_once": 3}})


def closed(job_id: str, **values: Any) -> dict[str, Any]:
    given = {"workflow": "brief", "state": "done", "origin": None} | values
    named = dict.fromkeys(("tenant", "portfolio", "snapshot", "purpose", "reason", "requested_by"), "x")
    return named | {"id": job_id, "priority": 1, "inputs": {}, "created_at": 0.0} | given


def opened(*rows: dict[str, Any], entry: Tick = ALL) -> list[str | None]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        job.create(connection)
        connection.execute(insert(job), list(rows))
        return [opening.origin for opening in looks.closed_work(connection, entry, 0.0)]


def test_closed_work_is_read_once_and_what_was_reopened_never() -> None:
    assert opened(closed("A"), closed("B", origin="A"), closed("C", state="failed"), closed("D")) == [
        "A",
        "D",
    ]
    assert opened(closed("A"), closed("R", workflow="re-review", origin="A")) == []


def test_a_look_considers_the_newest_and_begins_with_the_oldest_of_them() -> None:
    two = ALL.model_copy(update={"settings": ALL.settings | {"newest_considered": 2}})
    assert opened(closed("A"), closed("B"), closed("C"), entry=two) == ["B", "C"]
