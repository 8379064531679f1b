"""Duties: the upkeep lane's attempts, worked off through the same door as every worker's."""

import importlib.metadata
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contracts.catalog import Catalog
from contracts.failures import Code, Failure
from contracts.handoffs import incomplete
from contracts.maintenance import Findings
from contracts.registry import HANDLERS_GROUP, UnknownName, handler_names
from contracts.reports import Completed, Failed, Report, Summary
from orchestrator import escalations
from orchestrator.artifacts import ArtifactStore, StoreUnreachable
from orchestrator.door import Door, Refusal, patience
from orchestrator.intake import Intake
from orchestrator.ledger.engine import Ledger, LedgerUnreachable
from orchestrator.ledger.ids import new_id
from orchestrator.upkeep.operations import Duty, Operation

log = logging.getLogger(__name__)


class DutyFailed(Exception):
    """Raised after the report of a failed duty is committed, so that Flower shows it failed."""


@dataclass
class Duties:
    """The upkeep process's way of working attempts off. They are short, so the lease needs no heartbeat."""

    door: Door
    ledger: Ledger
    catalog: Catalog
    intake: Intake
    store: ArtifactStore
    escalation_log: Path
    worker: str
    sleep: Callable[[float], None] = time.sleep

    def run(self, attempt_id: str) -> str:
        """Works one attempt off and says what came of it; raises DutyFailed after a reported failure."""
        claim = patience.claim(self.door, attempt_id, self.worker, new_id(), self.sleep)
        if isinstance(claim, Refusal):
            return f"not run: {claim.why}"
        began = time.monotonic()
        duty = Duty(claim.handoff, self.ledger, self.catalog, self.intake, self.store, self.escalation_log)
        outcome = self._outcome(duty)
        report = Report(outcome=outcome, worker_seconds=time.monotonic() - began)
        if not patience.hand_in(self.door, claim, report, self.worker, self.sleep):
            return "reported too late: the attempt had been taken away"
        if isinstance(outcome, Failed):
            raise DutyFailed(outcome.failure.sentence[:300])
        return outcome.summary.text

    def tell(self) -> int:
        """Writes a line in the log route for everybody who was called and not told yet; answers how many."""
        return escalations.tell(self.ledger, self.escalation_log)

    def _outcome(self, duty: Duty) -> Completed | Failed:
        try:
            if broken := incomplete(duty.handoff):
                return Failed(failure=Failure(code=Code.BROKEN_HANDOFF, sentence=broken))
            findings = operation(duty.handoff.assignment.handler)(duty)
            return Completed(summary=self._summary(findings))
        except LedgerUnreachable as away:
            return Failed(failure=Failure(code=Code.INTERRUPTED, sentence=str(away)[:2000]))
        except StoreUnreachable as away:
            return Failed(failure=Failure(code=Code.STORE_UNREACHABLE, sentence=str(away)[:2000]))
        except UnknownName as unknown:
            sentence = f"this upkeep's code does not know what it was handed: {unknown}"
            return Failed(failure=Failure(code=Code.UNKNOWN_CONTRACT, sentence=sentence[:2000]))
        except Exception as error:
            log.exception("a duty of upkeep raised")
            sentence = f"the operation raised {type(error).__name__}: {error}"[:2000]
            return Failed(failure=Failure(code=Code.HANDLER_ERROR, sentence=sentence))

    def _summary(self, findings: Findings) -> Summary:
        body = findings.model_dump_json(indent=1).encode()
        ref = self.store.put(body, "application/json", findings.contract)
        return Summary(
            contract=findings.contract, text=findings.headline()[:2000], output=ref, facts=findings.facts()
        )


@cache
def operation(name: str) -> Operation:
    """The code behind an operation's name; raises UnknownName."""
    for point in importlib.metadata.entry_points(group=HANDLERS_GROUP, name=name):
        loaded: Operation = point.load()
        return loaded
    raise UnknownName("handler", name, list(handler_names()))
