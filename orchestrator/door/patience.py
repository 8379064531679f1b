"""Patience: a worker that knocks again while the ledger or the artifact store is away."""

import logging
from collections.abc import Callable
from typing import TypeVar

from contracts.reports import Report
from orchestrator.artifacts import StoreUnreachable
from orchestrator.door.claims import Claim, Refusal, Unreadable
from orchestrator.door.door import Door
from orchestrator.ledger.engine import LedgerUnreachable

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

CLAIM_TRIES = 10
CLAIM_AGAIN_SECONDS = 1.0
REPORT_AGAIN_SECONDS = 2.0
STORE_TRIES = 10
STORE_AGAIN_SECONDS = 2.0


def claim(
    door: Door, attempt_id: str, worker_id: str, token: str, sleep: Callable[[float], None]
) -> Claim | Refusal:
    """Claims with one token until there is an answer, since the lost answer may have been a claim. After a
    while it gives up: by then the attempt is returned, or its lease runs out."""
    for _ in range(CLAIM_TRIES):
        try:
            return door.claim(attempt_id, worker_id, token)
        except LedgerUnreachable as error:
            log.warning("attempt %s: %s; claiming again", attempt_id, error)
            sleep(CLAIM_AGAIN_SECONDS)
    return Refusal(f"the ledger did not answer {CLAIM_TRIES} claims")


def insist(attempt_id: str, ask: Callable[[], Answer], sleep: Callable[[float], None]) -> Answer:
    """Asks until the ledger answers. For what may be asked twice, and whose work would be lost if it were not asked
    at all: an effect that was applied and of which the ledger does not know."""
    while True:
        try:
            return ask()
        except LedgerUnreachable as error:
            log.warning("attempt %s: %s; asking again", attempt_id, error)
            sleep(REPORT_AGAIN_SECONDS)


def hand_in(
    door: Door, claim: Claim | Unreadable, report: Report, worker_id: str, sleep: Callable[[float], None]
) -> bool:
    """Hands the report in, however long the ledger is away: what it tells was paid for. The fence decides
    whether it still counts."""
    while True:
        try:
            return door.report(claim, report, worker_id)
        except LedgerUnreachable as error:
            log.warning("attempt %s: %s; its report waits", claim.attempt, error)
            sleep(REPORT_AGAIN_SECONDS)


def keep_or_fetch(
    attempt_id: str, ask: Callable[[], Answer], stopped: Callable[[], bool], sleep: Callable[[float], None]
) -> Answer:
    """Asks the artifact store until it answers, for a while and while the attempt is not `stopped`: what it is to
    keep may have been paid for. Raises StoreUnreachable after that."""
    for _ in range(STORE_TRIES - 1):
        try:
            return ask()
        except StoreUnreachable as error:
            if stopped():
                raise
            log.warning("attempt %s: %s; asking again", attempt_id, error)
            sleep(STORE_AGAIN_SECONDS)
    return ask()
