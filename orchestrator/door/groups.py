"""Groups: threads that want the same act at the same time share one transaction for it.

Flat combining (Hendler, Incze, Shavit, Tzafrir, SPAA 2010): whoever gets the turn does what everybody waiting
asked for. Nobody waits for a group to fill, so one thread alone is as fast as without.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from orchestrator.ledger.engine import LedgerUnreachable

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")
Answer = TypeVar("Answer")


class Groups(Generic[Entry, Answer]):
    """One act on the ledger, done for all entries that wait while it is done for others."""

    def __init__(self, act: Callable[[Sequence[Entry]], Sequence[Answer]]) -> None:
        """`act` is one transaction: it answers each of its entries in their order, or changes nothing and raises."""
        self._act = act
        self._waiting: deque[tuple[Entry, Future[Answer]]] = deque()
        self._turn = threading.Lock()

    def do(self, entry: Entry) -> Answer:
        """The act's answer for this entry, or what the act raises for it."""
        answer: Future[Answer] = Future()
        self._waiting.append((entry, answer))
        with self._turn:
            if not answer.done():  # else it was done in somebody else's turn
                self._serve([self._waiting.popleft() for _ in range(len(self._waiting))])
        return answer.result()

    def _serve(self, group: Sequence[tuple[Entry, Future[Answer]]]) -> None:
        try:
            answers = self._act([entry for entry, _ in group])
        except BaseException as error:  # nobody may be left waiting
            if len(group) > 1 and not isinstance(error, LedgerUnreachable):
                log.warning("%d at once failed (%s: %s); each alone", len(group), type(error).__name__, error)
                for member in group:  # each alone, so that only who is at fault hears of it
                    self._serve([member])
                return
            for _, future in group:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(group, answers, strict=True):
                future.set_result(answer)
