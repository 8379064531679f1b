"""The saboteur: one fault, the first time that one place is passed."""

import sys
from enum import StrEnum
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout

from contracts.artifacts import ArtifactRef
from orchestrator.artifacts import ArtifactStore
from orchestrator.ledger.engine import LedgerUnreachable
from tests.crashes import points
from tests.simulation.clock import Clock, Gone, When

PAST_EVERY_LEASE_SECONDS = 120.0


class Fault(StrEnum):
    EXIT_BEFORE = "exits before"
    EXIT_AFTER = "exits after"
    RAISE = "raises"
    SLEEP = "sleeps past the lease"
    UNHEARD = "is done and not heard"


class Injected(Exception):
    """What nobody expected."""


class Saboteur:
    """Watches which places are passed, and disturbs one of them once it is armed."""

    def __init__(self, clock: Clock) -> None:
        self.passed: set[str] = set()
        self.fired = False
        self._clock = clock
        self._armed: tuple[str, Fault] | None = None

    def arm(self, place: str, fault: Fault) -> None:
        self._armed = place, fault

    def find(self) -> str | None:
        """The innermost place of the code that leads here."""
        frame: Any = sys._getframe(1)
        while frame is not None:
            found = points.place(frame.f_code.co_filename, frame.f_lineno)
            if found:
                return found
            frame = frame.f_back
        return None

    def meddle(self, place: str | None, when: When) -> None:
        if place is None:
            return
        self.passed.add(place)
        if self._armed is None or self._armed[0] != place:
            return
        fault = self._armed[1]
        if (when is When.AFTER) == (fault in (Fault.EXIT_AFTER, Fault.UNHEARD)):
            self._armed, self.fired = None, True
            self._do(fault, place)

    def _do(self, fault: Fault, place: str) -> None:
        match fault:
            case Fault.EXIT_BEFORE | Fault.EXIT_AFTER:
                raise Gone(place)
            case Fault.RAISE:
                raise Injected(place)
            case Fault.SLEEP:
                self._clock.forward(PAST_EVERY_LEASE_SECONDS)
            case Fault.UNHEARD:
                known = points.points().get(place)
                raise LedgerUnreachable(PoolTimeout()) if known and known.is_commit else OSError(place)


class MeddledStore(ArtifactStore):
    """A store whose every put and get can be disturbed."""

    def __init__(self, url: str, saboteur: Saboteur) -> None:
        super().__init__(url)
        self._saboteur = saboteur

    def put(
        self, content: bytes, media_type: str = "application/octet-stream", name: str = ""
    ) -> ArtifactRef:
        place = self._saboteur.find()
        self._saboteur.meddle(place, When.BEFORE)
        ref = super().put(content, media_type, name)
        self._saboteur.meddle(place, When.AFTER)
        return ref

    def get(self, digest: str) -> bytes:
        place = self._saboteur.find()
        self._saboteur.meddle(place, When.BEFORE)
        content = super().get(digest)
        self._saboteur.meddle(place, When.AFTER)
        return content
