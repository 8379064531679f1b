"""The loop: plan, replay, advance, hear people, recall, reconcile, gather, dispatch; serially, in short transactions.

It touches the ledger only. The relay runs beside it and is woken after every dispatch.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from orchestrator.ledger.engine import LedgerUnreachable
from orchestrator.ledger.leadership import Deposed, Leadership
from orchestrator.looking import Seen
from orchestrator.telemetry import LEADER, LOOP_SECONDS
from orchestrator.wake import Wake

log = logging.getLogger(__name__)

RECONCILE_EVERY_SECONDS = 1.0
RECONCILE_IDLE_SECONDS = 10.0
STANDBY_SECONDS = 1.0


class Verb(Protocol):
    """One act of the loop: does a batch, and answers how much that was."""

    def run(self) -> int: ...


class Granting(Verb, Protocol):
    """Dispatch, which also knows when more can be granted."""

    @property
    def pause_seconds(self) -> float:
        """Until something that was refused can be granted, as far as time alone decides."""
        ...


@dataclass(frozen=True)
class Verbs:
    plan: Verb
    replay: Verb
    advance: Verb
    answer: Verb
    recall: Verb
    gather: Verb
    dispatch: Granting
    reconcile: Verb


class Loop:
    """One orchestrator process's loop. It leads or stands by."""

    def __init__(
        self,
        leadership: Leadership,
        verbs: Verbs,
        look: Callable[[], Seen],
        wake: Wake,
        ring: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look` says which verbs have something to do; `ring` tells the relay that there is something to publish."""
        self._leadership = leadership
        self._verbs = verbs
        self._look = look
        self._wake = wake
        self._ring = ring
        self._monotonic = monotonic
        self._lead_until = 0.0
        self._reconciled_at = 0.0
        self._pause = float("inf")
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Leads or stands by until stopped; an unreachable ledger is waited for."""
        while not self._stopping.is_set():
            try:
                self._lead_or_stand_by()
            except Deposed as deposed:
                log.warning("deposed: %s", deposed)
                self._lead_until = 0.0
            except LedgerUnreachable as error:
                log.warning("%s; trying again", error)
                self._lead_until = 0.0
                self._stopping.wait(STANDBY_SECONDS)
            except Exception:
                log.exception("a turn of the loop raised and changed nothing; it goes on")
                self._stopping.wait(STANDBY_SECONDS)
        LEADER.set(0)
        with suppress(LedgerUnreachable):
            self._leadership.resign()

    def _lead_or_stand_by(self) -> None:
        if not self._leads():
            LEADER.set(0)
            self._stopping.wait(STANDBY_SECONDS)
            return
        LEADER.set(1)
        if not self.turn():
            self._wake.wait(self._pause)

    def _leads(self) -> bool:
        """Extends the lead when a third of its lease has passed."""
        now = self._monotonic()
        if now >= self._lead_until:
            if not self._leadership.seek():
                return False
            self._lead_until = now + self._leadership.lease_seconds / 3
        return True

    def turn(self) -> int:
        """One turn of the loop; answers how much was done."""
        seen, done = self._look(), 0
        self._pause = float("inf")
        if seen.plan:
            done += self._timed("plan", self._verbs.plan)
        if seen.replay:
            done += self._timed("replay", self._verbs.replay)
        if seen.advance:
            done += self._timed("advance", self._verbs.advance)
        if seen.answer:
            done += self._timed("answer", self._verbs.answer)
        if seen.recall:
            done += self._timed("recall", self._verbs.recall)
        now = self._monotonic()
        pause = RECONCILE_EVERY_SECONDS if seen.open else RECONCILE_IDLE_SECONDS
        if now - self._reconciled_at >= pause:
            # Before dispatch, so that what was held goes ahead of what is fresh, and a dispatch that raises
            # leaves no lease unlooked at.
            self._reconciled_at = now
            found = self._timed("reconcile", self._verbs.reconcile)
            if found:
                self._ring()  # some of it may be rung again
            done += found
        if seen.dispatch or done:
            done += self._timed("gather", self._verbs.gather)
            granted = self._timed("dispatch", self._verbs.dispatch)
            self._pause = self._verbs.dispatch.pause_seconds
            if granted:
                self._ring()
            done += granted
        if done:
            self._wake.worked()
        return done

    def _timed(self, name: str, verb: Verb) -> int:
        with LOOP_SECONDS.labels(name).time():
            return verb.run()
