"""Setting aside: a job whose handling raises is told of and left alone, so that it holds up no other."""

import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, true

from orchestrator import escalations
from orchestrator.ledger import events
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import MovedMeanwhile

log = logging.getLogger(__name__)

AGAIN_SECONDS = 300.0
"""After so long a job that was set aside is looked at again: what made it raise may be gone."""


class Aside:
    """The jobs that one verb leaves alone for a while."""

    def __init__(
        self, leadership: Leadership, actor: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._leadership = leadership
        self._actor = actor
        self._monotonic = monotonic
        self._until: dict[str, float] = {}

    def among(self, job_id: ColumnElement[Any], only: str | None) -> ColumnElement[bool]:
        """The condition for rows of one job, or of all that are not set aside."""
        if only is not None:
            return job_id == only
        now = self._monotonic()
        aside = [job for job, until in self._until.items() if until > now]
        return job_id.not_in(aside) if aside else true()

    def run(self, act: Callable[[str | None], int], jobs: Callable[[], set[str]]) -> int:
        """Acts on all jobs at once and answers how much was done; where that raises, job by job."""
        try:
            return act(None)
        except (Deposed, LedgerUnreachable):
            raise
        except Exception:
            log.exception("%s: a batch raises; trying job by job", self._actor)
        return sum(self._alone(act, job_id) for job_id in jobs())

    def _alone(self, act: Callable[[str | None], int], job_id: str) -> int:
        try:
            return act(job_id)
        except (Deposed, LedgerUnreachable):
            raise
        except MovedMeanwhile as moved:
            log.info("%s: job %s is looked at again: %s", self._actor, job_id, moved)
        except Exception as error:
            log.exception("%s: job %s raises and is set aside", self._actor, job_id)
            is_known = job_id in self._until
            self._until[job_id] = self._monotonic() + AGAIN_SECONDS
            if not is_known:
                self._tell(job_id, f"its handling raised {type(error).__name__}: {error}; it is set aside")
        return 0

    def _tell(self, job_id: str, sentence: str) -> None:
        """Once, and to a person: nothing that this verb does reaches the job meanwhile."""
        with self._leadership.decide() as (connection, at):
            events.record(connection, Event(at, EventKind.FLAWED, self._actor, job_id, sentence=sentence))
            told = f"{self._actor} leaves job {job_id} alone, and tries again every {AGAIN_SECONDS:.0f} s: {sentence}"
            escalations.call(connection, at, self._actor, told, job_id)
