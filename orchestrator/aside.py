"""Setting aside: a job whose handling raises is told of and left alone, so that it holds up no other."""

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, true

from orchestrator.ledger import events
from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.ledger.moves import MovedMeanwhile

log = logging.getLogger(__name__)


class Aside:
    """The jobs that one verb leaves alone, for as long as this process runs."""

    def __init__(self, leadership: Leadership, actor: str) -> None:
        self._leadership = leadership
        self._actor = actor
        self._jobs: set[str] = set()

    def among(self, job_id: ColumnElement[Any], only: str | None) -> ColumnElement[bool]:
        """The condition for rows of one job, or of all that are not set aside."""
        if only is not None:
            return job_id == only
        return job_id.not_in(self._jobs) if self._jobs else true()

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
            self._jobs.add(job_id)
            self._tell(job_id, f"its handling raised {type(error).__name__}: {error}; it is set aside")
        return 0

    def _tell(self, job_id: str, sentence: str) -> None:
        with self._leadership.decide() as (connection, at):
            events.record(connection, Event(at, EventKind.FLAWED, self._actor, job_id, sentence=sentence))
