"""The handlers of the lane that carries batches: one hands the members' requests in, one collects the answers.

A member's request and the reading of its answer are those of the live handler; here they only travel together.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from contracts.base import Payload
from contracts.failures import Code, Failure, HandlerFailure
from contracts.handoffs import incomplete
from contracts.limits import ResponseKind, VendorSignal
from contracts.reports import Call, Failed, Report
from contracts.vendor_batches import Collected, Submitted
from orchestrator.door import CarriedBatch, Claim, Unreadable
from workers.attempts import failure_of, outcome_of
from workers.handlers import model
from workers.task import Task
from workers.vendors.access import vendors_for
from workers.vendors.port import Billing, Ended, ModelAnswer, ModelRequest, VendorFailure

NOBODY_KNOWS = "whether the vendor took the batch is not known: its worker fell silent while it handed it in"


def submit(task: Task) -> Submitted:
    """Hands the batch in, once. What the vendor does not take is reported on member by member, so that each goes on
    by itself; the hand-in itself is done then. Raises HandlerFailure (vendor_unavailable)."""
    carried = task.carrying.find()
    vendor, simulated = vendors_for(task.settings).batches(carried.vendor, carried.account)
    carried = task.carrying.begin()
    if carried.begun_before:
        return _begun_before(task, carried, simulated)
    requests = _prepared(task, carried, simulated)
    if not requests:
        return _nothing_came(task, "ended", "no request was left to hand in")
    if task.stopped.is_set():
        unsent = VendorFailure(_not_taken("its worker was stopped"), Billing.NOT_SENT, _SILENT)
        return _not_submitted(task, carried, simulated, unsent)
    try:
        submission = vendor.submit(requests, task.attempt)
    except VendorFailure as failure:
        return _not_submitted(task, carried, simulated, failure)
    expires_at = submission.expires_at
    task.carrying.submitted(submission.id, expires_at.timestamp() if expires_at else None)
    return _handed_in(carried.vendor, submission.id, expires_at, len(requests))


def collect(task: Task) -> Collected:
    """Looks at the batch once, and reports on every member where it has ended. Raises HandlerFailure: unfinished
    where it has not."""
    carried = task.carrying.find()
    if carried.name is None or not carried.members:
        nothing = "nothing is left to collect"
        task.carrying.end("ended", nothing)
        return Collected(sentence=nothing)
    vendor, simulated = vendors_for(task.settings).batches(carried.vendor, carried.account)
    ended = vendor.look(carried.name)
    if ended is None:
        sentence = f"batch {carried.name} of {carried.vendor} is under way"
        raise HandlerFailure(Failure(code=Code.UNFINISHED, sentence=sentence))
    outcomes = _reported(task, carried, simulated, partial(_result_of, ended))
    told = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    sentence = f"batch {carried.name} of {carried.vendor} has ended: {told}"
    task.carrying.end("ended", sentence)
    return Collected(sentence=sentence, outcomes=outcomes)


_SILENT = VendorSignal(kind=ResponseKind.SILENT)


def _begun_before(task: Task, carried: CarriedBatch, simulated: bool) -> Submitted:
    """An earlier attempt died on the way. What has a name was taken; what has none is never handed in again."""
    if carried.name is not None:
        expires_at = datetime.fromtimestamp(carried.expires_at, UTC) if carried.expires_at else None
        return _handed_in(carried.vendor, carried.name, expires_at, len(carried.members))
    failure = Failure(code=Code.VENDOR_ERROR, sentence=NOBODY_KNOWS)
    lost = VendorFailure(failure, Billing.AMBIGUOUS, _SILENT)
    _reported(task, carried, simulated, lambda attempt: lost)
    return _nothing_came(task, "lost", NOBODY_KNOWS)


def _prepared(task: Task, carried: CarriedBatch, simulated: bool) -> list[ModelRequest]:
    """The members' requests. A member without one is reported on at once."""
    requests = []
    for claim in carried.members:
        member = _member(task, claim)
        try:
            if isinstance(claim, Unreadable):
                raise HandlerFailure(_unread(claim))
            if broken := incomplete(member.handoff):
                raise HandlerFailure(Failure(code=Code.BROKEN_HANDOFF, sentence=broken))
            requests.append(model.prepared(member, simulated))
        except Exception as error:  # whatever is wrong with it is not wrong with the others
            failed = Failed(failure=failure_of(member, error))
            task.carrying.hand_in(claim, Report(outcome=failed, call=member.call, worker_seconds=0.0))
    return requests


def _not_submitted(task: Task, carried: CarriedBatch, simulated: bool, failure: VendorFailure) -> Submitted:
    """Whatever keeps the vendor from a batch need not keep it from live calls: its members go on as not sent,
    unless it may have taken the batch all the same."""
    known = failure.billing is not Billing.AMBIGUOUS
    told = failure
    if known:
        told = VendorFailure(_not_taken(failure.failure.sentence), Billing.NOT_SENT, failure.signal)
    _reported(task, task.carrying.find(), simulated, lambda attempt: told)
    why = f"{carried.vendor} did not take it: {failure.failure.sentence}"
    return _nothing_came(task, "refused" if known else "lost", why)


def _not_taken(why: str) -> Failure:
    return Failure(code=Code.NOT_SENT, sentence=f"its batch was not handed in: {why}"[:2000])


def _nothing_came(task: Task, state: str, why: str) -> Submitted:
    task.carrying.end(state, why)
    return Submitted(name=None, sentence=why, requests=0)


def _handed_in(vendor: str, name: str, expires_at: datetime | None, requests: int) -> Submitted:
    sentence = f"{requests} request(s) wait in batch {name} of {vendor}"
    return Submitted(name=name, sentence=sentence, expires_at=expires_at, requests=requests)


def _result_of(ended: Ended, attempt: str) -> ModelAnswer | VendorFailure:
    return ended.results.get(attempt, ended.rest)


def _reported(
    task: Task,
    carried: CarriedBatch,
    simulated: bool,
    result_of: Callable[[str], ModelAnswer | VendorFailure],
) -> dict[str, int]:
    """An ordinary report for every member; answers how many there were of each kind."""
    outcomes = Counter[str]()
    for claim in carried.members:
        member, result = _member(task, claim), result_of(claim.attempt)
        if isinstance(claim, Unreadable):
            member.call = _call(carried, simulated)
            outcome = outcome_of(member, partial(_paid_for, claim=claim, result=result))
        else:
            outcome = outcome_of(member, partial(_finished, simulated=simulated, result=result))
        task.carrying.hand_in(claim, Report(outcome=outcome, call=member.call, worker_seconds=0.0))
        outcomes[outcome.failure.code if isinstance(outcome, Failed) else outcome.kind] += 1
    return dict(outcomes)


def _finished(member: Task, simulated: bool, result: ModelAnswer | VendorFailure) -> Payload:
    # Composed once more, since equal requests are one artifact.
    model.prepared(member, simulated)
    return model.finished(member, result)


def _paid_for(member: Task, claim: Unreadable, result: ModelAnswer | VendorFailure) -> Payload:
    """The end of a request whose handoff is not to be read here: kept and charged, and asked again by newer code."""
    model.record_end(member, result)
    raise HandlerFailure(_unread(claim))


def _unread(claim: Unreadable) -> Failure:
    return Failure(code=Code.UNKNOWN_CONTRACT, sentence=claim.why)


def _call(carried: CarriedBatch, simulated: bool) -> Call:
    """The call of a member as far as its batch tells it; its group stands in the handoff alone."""
    return Call(
        vendor=carried.vendor,
        account=carried.account,
        group="",
        model=carried.model,
        simulated=simulated,
        usage=None,
        seconds=0,
    )


def _member(task: Task, claim: Claim | Unreadable) -> Task:
    """The member as a task of its own; one that cannot be read is given none of its handoff."""
    handoff = claim.handoff if isinstance(claim, Claim) else task.handoff
    return replace(task, attempt=claim.attempt, handoff=handoff, call=None)
