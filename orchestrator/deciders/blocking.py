"""Blocking: what follows when work lacks something that another workflow may supply."""

from dataclasses import dataclass

from contracts.failures import Failure
from contracts.lanes import Attempts
from contracts.prerequisites import Prerequisite
from contracts.workflows import OnTrouble
from orchestrator.deciders.recovery import End, Retry, backoff_seconds

DEEPEST = 8
"""So many jobs may wait for each other's prerequisites."""
RESTS_SECONDS = 3600.0
"""So long after a job ended without supplying what it was to supply no other is made for that by itself, since it
would be paid for again and end the same; and so long what a replay of it supplied is handed to who lacks it."""
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

    blocker: str | None
    """None where nobody waits for it."""
    job: str
    ended_at: float | None = None
    """When its blocker was resolved, or where it has none when its job ended; None before."""
    succeeded: bool = False

    def rests(self, at: float) -> bool:
        """Whether it ended so lately that it counts."""
        return self.ended_at is not None and at < self.ended_at + RESTS_SECONDS


@dataclass(frozen=True)
class Situation:
    """What is known when an attempt reports a lack."""

    at: float
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
    replays: tuple[Supply, ...] = ()
    """The replays of that one's job, itself where it is one; the latest first."""
    handed: frozenset[str] = frozenset()
    """The jobs whose supply it was handed before."""
    under_way: int = 0
    """How many jobs supply the same prerequisite to this tenant now, whatever the subjects."""
    above: frozenset[str] = frozenset()
    """The blockers that wait, directly or by others, for the job that reports this."""
    waiting: frozenset[str] = frozenset()
    """The jobs that do, and the one that reports this."""


@dataclass(frozen=True)
class Join:
    """It waits with others for what is already on its way."""

    supply: Supply
    why: str


@dataclass(frozen=True)
class Follow:
    """It waits for a replay of the job that was to supply it, which is under way or has ended well."""

    job: str


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
) -> Join | Follow | Open | Retry | End:
    """What follows. It never waits for itself, and never twice for what did not help."""
    told = f"{failure.code}: {failure.sentence}"
    if isinstance(lack, str):
        return End(on.fail, f"{told} ({lack})")
    if situation.declared is None:
        return End(on.fail, f"{told} (nothing is declared to supply {lack.prerequisite})")
    if situation.limited >= policy.limited:
        return End(on.loop, f"{told} (lacked something {situation.limited} of {policy.limited} times)")
    standing, latest, replay = situation.standing, situation.latest, _replay(situation)
    supplier = standing or replay
    if supplier and supplier.job in situation.waiting:
        return End(on.fail, f"{told} (it is part of what supplies the {lack}, and would wait for itself)")
    if standing:
        return Join(standing, f"{told} (job {standing.job} supplies it)")
    if replay:
        return Follow(replay.job)
    last = next(iter(situation.replays), latest)
    if last and not last.succeeded and last.rests(situation.at):
        return End(on.fail, f"{told} ({_how_to_mend(last)})")
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


def _replay(situation: Situation) -> Supply | None:
    """The replay by which it can be had, if any: what a person had made again is not made once more."""
    for each in situation.replays:
        is_there = each.ended_at is None or (each.succeeded and each.rests(situation.at))
        if is_there and each.job not in situation.handed:
            return each
    return None


def _how_to_mend(failed: Supply) -> str:
    return (
        f"job {failed.job} was to supply it and did not; no other is made within an hour: mend it, "
        f"`fleet replay {failed.job}`, then replay this"
    )
