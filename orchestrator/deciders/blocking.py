"""Blocking: what follows when work lacks something that another workflow may supply."""

from dataclasses import dataclass

from contracts.failures import Failure
from contracts.lanes import Attempts
from contracts.prerequisites import Prerequisite
from contracts.workflows import OnTrouble
from orchestrator.deciders.recovery import End, Retry, backoff_seconds

DEEPEST = 8
"""So many jobs may wait for each other's prerequisites."""
LONGEST_PREREQUISITE, LONGEST_SUBJECT = 100, 200


@dataclass(frozen=True)
class Lack:
    """What is missing, and to whom."""

    prerequisite: str
    subject: str

    def __str__(self) -> str:
        return f"{self.prerequisite} of {self.subject}"


@dataclass(frozen=True)
class Supply:
    """How it stands with one job that is to supply something, or was."""

    blocker: str
    job: str
    ended_at: float | None = None
    """When its blocker was resolved; None while it stands."""
    succeeded: bool = False


@dataclass(frozen=True)
class Situation:
    """What is known when an attempt reports a lack."""

    declared: Prerequisite | None
    claimed_at: float
    """When the attempt looked, at the earliest."""
    created_at: float
    """Of its subtask."""
    limited: int
    """How often it reported a lack, this time included."""
    standing: Supply | None = None
    """The blocker that stands for it."""
    latest: Supply | None = None
    """The last one that was resolved."""
    under_way: int = 0
    """How many jobs supply the same prerequisite to this tenant now, whatever the subjects."""
    above: frozenset[str] = frozenset()
    """The blockers that wait, directly or by others, for the job that reports this."""


@dataclass(frozen=True)
class Join:
    """It waits with others for what is already on its way."""

    supply: Supply
    why: str


@dataclass(frozen=True)
class Open:
    """It is the first to lack it: one job is made for all."""

    declared: Prerequisite


def lack_of(failure: Failure) -> Lack | str:
    """What the failure says is missing, or a sentence about what it does not say."""
    prerequisite = failure.evidence.get("prerequisite", "")
    subject = failure.evidence.get("subject", "")
    if not prerequisite or not subject:
        return "it names no prerequisite and subject in its evidence"
    if len(prerequisite) > LONGEST_PREREQUISITE or len(subject) > LONGEST_SUBJECT:
        return (
            f"a prerequisite has at most {LONGEST_PREREQUISITE} characters and a subject {LONGEST_SUBJECT}; "
            f"these have {len(prerequisite)} and {len(subject)}"
        )
    return Lack(prerequisite, subject)


def decide(
    failure: Failure, lack: Lack | str, policy: Attempts, on: OnTrouble, situation: Situation
) -> Join | Open | Retry | End:
    """What follows. It never waits for itself, and never twice for what did not help."""
    told = f"{failure.code}: {failure.sentence}"
    if isinstance(lack, str):
        return End(on.fail, f"{told} ({lack})")
    if situation.declared is None:
        return End(on.fail, f"{told} (nothing is declared to supply {lack.prerequisite})")
    if situation.limited >= policy.limited:
        return End(on.loop, f"{told} (lacked something {situation.limited} of {policy.limited} times)")
    standing, latest = situation.standing, situation.latest
    if standing and standing.blocker in situation.above:
        return End(on.fail, f"{told} (it is part of what supplies the {lack}, and would wait for itself)")
    if standing:
        return Join(standing, f"{told} (job {standing.job} supplies it)")
    if latest and latest.ended_at is not None and latest.succeeded:
        if situation.claimed_at < latest.ended_at:
            return Retry(0.0, f"{told} (job {latest.job} has supplied it meanwhile)")
        if situation.created_at < latest.ended_at:
            return End(on.fail, f"{told} (job {latest.job} was to supply it, and it is still missing)")
    if len(situation.above) >= DEEPEST:
        return End(on.fail, f"{told} (already {len(situation.above)} blockers wait behind it)")
    most = situation.declared.most_open
    if situation.under_way >= most:
        delay = backoff_seconds(policy, situation.limited, chance=1.0)
        return Retry(
            delay, f"{told} ({most} job(s) supply {lack.prerequisite} already; again in {delay:.1f} s)"
        )
    return Open(situation.declared)
