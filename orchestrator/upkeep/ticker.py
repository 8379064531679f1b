"""The ticker: looks after ticks that nobody has looked after, and makes jobs of what calls for one."""

import logging
from typing import Any

from sqlalchemy import select

from contracts.catalog import Catalog
from contracts.jobs import JobRequest
from contracts.maintenance import Inputs
from contracts.purposes import Purpose
from contracts.ticks import Tick
from orchestrator.deciders.switches import Work, skipped
from orchestrator.intake import Intake
from orchestrator.ledger import ticks
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.tables import job
from orchestrator.pauses import standing
from orchestrator.problems import Conflict, NotFound
from orchestrator.upkeep import looks
from orchestrator.upkeep.looks import Opening

log = logging.getLogger(__name__)

ACTOR = "upkeep"
TENANT = "fleet"


class Ticker:
    """Looks are idempotent: a job is keyed by its tick and slot, so two tickers make it once."""

    def __init__(self, ledger: Ledger, catalog: Catalog, intake: Intake, cadences: dict[str, float]) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._intake = intake
        self._cadences = cadences

    def run(self) -> int:
        """Notes what is due, looks after it, and answers how many jobs were made. Of the slots that nobody
        looked after in time only the latest counts: one look finds all there is."""
        with self._ledger.write() as connection:
            ticks.note_due(connection, self._cadences, now(connection))
        with self._ledger.read() as connection:
            rows = ticks.unlooked(connection)
        latest = {row.name: row for row in rows}
        for row in rows:
            if row is not latest[row.name]:
                self._note(row, "passed over: a later slot is due", None)
        return sum(self._tried(row) for row in latest.values())

    def _tried(self, row: Any) -> int:
        """One look; what it raises keeps nobody from the others, and it is looked after again."""
        try:
            return self._look(row)
        except LedgerUnreachable:
            raise
        except Exception:
            log.exception("the look of tick %s raised; it is looked after again", row.name)
            return 0

    def _look(self, row: Any) -> int:
        entry = self._catalog.ticks.get(row.name)
        if entry is None:
            self._note(row, "the catalog has no such tick", None)
            return 0
        with self._ledger.read() as connection:
            at = now(connection)
            held = standing(connection, at).held_scope(Work(tenant=TENANT, workflow=entry.workflow))
        if held:
            self._note(row, skipped(held), None, at)
            return 0
        with self._ledger.read() as connection:
            openings = looks.BY_NAME[entry.look](connection, entry, at)
        jobs = [self._open(entry, row, number, opening) for number, opening in enumerate(openings)]
        self._note(
            row, f"made {len(jobs)} job(s)" if jobs else "nothing to do", jobs[0] if jobs else None, at
        )
        return len(jobs)

    def _open(self, entry: Tick, row: Any, number: int, opening: Opening) -> str:
        request = _request(entry, f"{row.slot:.0f}", opening, f"clock:{entry.tick}")
        key = f"tick/{entry.tick}/{row.slot:.0f}/{opening.origin or number}"
        try:
            return self._intake.accept(request, key, origin=opening.origin, actor=ACTOR).job_id
        except Conflict:
            return self._made_before(key)

    def _made_before(self, key: str) -> str:
        """The job that an earlier look made of this slot, when it had found something else."""
        with self._ledger.read() as connection:
            made = select(job.c.id).where(job.c.tenant == TENANT, job.c.idempotency_key == key)
            return str(connection.execute(made).scalar_one())

    def _note(self, row: Any, outcome: str, job_id: str | None, at: float | None = None) -> None:
        """Writes down what came of a look at this moment, or now."""
        with self._ledger.write() as connection:
            ticks.looked(connection, row, outcome, job_id, at or now(connection))


def drill(intake: Intake, catalog: Catalog, name: str, by: str) -> str:
    """Has a drill done now, as its tick does on schedule; answers the job's id. Raises NotFound for a name that no
    tick has."""
    entry = next((tick for tick in catalog.ticks.values() if tick.drill == name), None)
    if entry is None:
        known = ", ".join(sorted(tick.drill for tick in catalog.ticks.values() if tick.drill)) or "none"
        raise NotFound(f"there is no drill “{name}”; known are: {known}")
    request = _request(entry, "asked for", Opening(), by)
    return intake.accept(request, None, origin=None, actor=by).job_id


def _request(entry: Tick, slot: str, opening: Opening, requested_by: str) -> JobRequest:
    inputs = Inputs(tick=entry.tick, slot=slot, found=opening.found, subjects=opening.subjects)
    return JobRequest(
        tenant=TENANT,
        portfolio=entry.portfolio,
        workflow=entry.workflow,
        inputs=inputs.model_dump(mode="json"),
        purpose=Purpose.MAINTENANCE,
        reason=entry.reason,
        requested_by=requested_by,
        priority=opening.priority,
    )
