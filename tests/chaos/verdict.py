"""The verdict: what the ledger promises, and what those say who have seen the run from outside of it."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from contracts.states import JobState
from orchestrator.ledger.promises import AFTER_DRAIN, AT_ANY_MOMENT, promises
from tests.chaos import sites
from tests.chaos.load import Answer, Load
from tests.chaos.monkey import Monkey
from tests.chaos.sometimes import happened, while_away
from tests.chaos.stacks import LEASE_SECONDS, LOOK_SECONDS, Stack, eventually

DRAIN_SECONDS = 180.0
"""After so long in which no job has ended none will."""
RETRY_SECONDS = 2.0
"""Within so long the API says that the ledger is away."""
COUNTS_TOKENS = "count"
ASIDE_SECONDS = 600.0
"""So much may have been done before the first job was submitted, and is little beside a skewed clock."""
AT_A_TIME = 1000
"""Names behind an IN."""


@dataclass(frozen=True)
class Figure:
    """Something that was measured. The bar is held where one fault was done alone: under all of them at once it
    is the other faults that take the time."""

    name: str
    value: float
    unit: str = ""
    bar: float | None = None
    always: bool = False
    """Whether the bar holds under every fault."""

    def holds(self, alone: bool) -> bool:
        return self.bar is None or not (alone or self.always) or self.value <= self.bar


@dataclass(frozen=True)
class Verdict:
    """Everything that is wrong, and the figures."""

    violations: list[str]
    figures: list[Figure]
    ended: Counter[str]
    """Jobs by state."""
    died: Counter[str]
    """Dead letters by code."""


def judged(stack: Stack, load: Load, monkey: Monkey) -> Verdict:
    """Waits until everything that was accepted has ended, and holds it against what was promised."""
    while left := stack.open_jobs():
        if not eventually(partial(_fewer, stack, left), DRAIN_SECONDS, LOOK_SECONDS):
            break
    eventually(lambda: not list(_broken(stack, AFTER_DRAIN)), LEASE_SECONDS)
    monkey.count_later()
    violations = [
        *_broken(stack, AT_ANY_MOMENT),
        *_broken(stack, AFTER_DRAIN),
        *_waiting(stack),
        *_kept(stack, load),
        *_called_once(stack),
        *_posted_once(stack),
        *_fenced(stack),
        *_refused_while_away(stack, load),
        *_on_one_clock(stack, load),
        *(f"the fault {name} never bit" for name in monkey.missed()),
        *_never(stack, load, monkey),
    ]
    jobs = stack.rows("SELECT state, count(*) AS number FROM job WHERE tenant = 'acme' GROUP BY state")
    dead = stack.rows("SELECT code, count(*) AS number FROM dead_letter GROUP BY code")
    return Verdict(
        violations,
        [*_figures(stack, load), *_sometimes(stack, load, monkey)],
        Counter({row.state: row.number for row in jobs}),
        Counter({row.code: row.number for row in dead}),
    )


def _fewer(stack: Stack, than: int) -> bool:
    return stack.open_jobs() < than


def _broken(stack: Stack, folder: str) -> Iterator[str]:
    for promise in promises(folder).values():
        with stack.ledger.read() as connection:
            rows = promise.broken(connection)
        if rows:
            yield f"{promise.name}: {len(rows)} violation(s), first {tuple(rows[0])}"


def _waiting(stack: Stack) -> Iterator[str]:
    """What is left, and what it waits for."""
    query = (
        "SELECT lane, state, held_by, count(*) AS number FROM subtask WHERE ended_at IS NULL "
        "GROUP BY lane, state, held_by"
    )
    for row in stack.rows(query):
        yield f"{row.number} subtask(s) of {row.lane} still {row.state}: {row.held_by or 'nothing says why'}"


def _kept(stack: Stack, load: Load) -> Iterator[str]:
    """Every key has one job, whatever was asked how often, and no job was made that nobody asked for."""
    rows = stack.rows("SELECT id, idempotency_key, state FROM job WHERE tenant = 'acme'")
    jobs = {row.idempotency_key: row for row in rows}
    accepted = load.accepted()
    if never := sorted(set(load.keys) - set(accepted)):
        yield f"{len(never)} job(s) were never accepted, first {never[0]}"
    for key, told in accepted.items():
        if key not in jobs:
            yield f"the job of {key} was accepted and is lost"
        elif told != {jobs[key].id}:
            yield f"for {key} the jobs {sorted(told)} were told, and {jobs[key].id} stands"
    if unheard := sorted(set(jobs) - {answer.key for answer in load.answers}):
        yield f"{len(unheard)} job(s) stand that nobody submitted, first {unheard[0]}"


def _called_once(stack: Stack) -> Iterator[str]:
    """The vendors were asked at most once for each attempt, by attempts that were claimed; and what was asked by
    an attempt that died is held for ambiguous."""
    claimed = {row.id: row for row in stack.rows("SELECT id, state, ambiguous FROM attempt WHERE fence > 0")}
    asked = Counter(_asked(stack))
    if twice := [attempt for attempt, times in asked.items() if times > 1]:
        yield f"{len(twice)} attempt(s) asked a vendor more than once, first {twice[0]}"
    if foreign := [attempt for attempt in asked if attempt not in claimed]:
        yield f"{len(foreign)} call(s) were made that no claim allowed, first {foreign[0]}"
    lost = [row for row in claimed.values() if row.state == "lost" and row.id in asked]
    if unsaid := [row.id for row in lost if not row.ambiguous]:
        yield f"{len(unsaid)} call(s) of lost attempts are not held for ambiguous, first {unsaid[0]}"


def _asked(stack: Stack) -> list[str]:
    return [row["attempt"] for row in stack.vendors.ledger() if row["kind"] != COUNTS_TOKENS]


def _posted_once(stack: Stack) -> Iterator[str]:
    """The worlds that were changed say so themselves: a job's page stands once where the ledger has it applied,
    and where a job is done, and it is the one that was posted. The place takes an effect's key once, so that here
    nothing shows of a worker that applies again what stands already; the crash stories, the simulation and
    `make bench ARGS=survival` have places that take it twice."""
    posts = Counter(sites.jobs(stack.root))
    if rewritten := list(sites.rewritten(stack.root)):
        yield f"{len(rewritten)} page(s) are not those that were posted, first {rewritten[0]}"
    if twice := [job for job, times in posts.items() if times > 1]:
        yield f"{len(twice)} job(s) stand more than once in a posts table, first {twice[0]}"
    applied = stack.rows(
        "SELECT subtask.job_id, job.state FROM effect JOIN subtask ON subtask.id = effect.subtask_id "
        "JOIN job ON job.id = subtask.job_id WHERE effect.applied_at IS NOT NULL"
    )
    if missing := [row.job_id for row in applied if not posts[row.job_id]]:
        yield f"{len(missing)} effect(s) are applied and stand nowhere, first of job {missing[0]}"
    done = stack.rows(
        "SELECT id FROM job WHERE state = :done AND workflow IN ('summary', 'brief') AND tenant = 'acme'",
        done=JobState.DONE,
    )
    if unposted := [row.id for row in done if not posts[row.id]]:
        yield f"{len(unposted)} job(s) are done and posted nowhere, first {unposted[0]}"


def _fenced(stack: Stack) -> Iterator[str]:
    """Nothing that came late was accepted."""
    late = stack.rows(
        "SELECT id FROM attempt WHERE state IN ('lost', 'returned') AND reported_at IS NOT NULL"
    )
    if late:
        yield f"{len(late)} report(s) of attempts that had been taken away were accepted, first {late[0].id}"


def _refused_while_away(stack: Stack, load: Load) -> Iterator[str]:
    """While the ledger was away every answer was a 503 that says when to come again, and none was a promise."""
    answers = while_away(load, stack.notes.ledger_away)
    if stack.notes.ledger_away and not answers:
        yield "while the ledger was away nobody was answered, so that nothing is known of it"
    for answer in answers:
        if answer.status != 503 or not answer.retry_after:
            yield f"while the ledger was away, {answer.key} was answered {answer.status}"


def _on_one_clock(stack: Stack, load: Load) -> Iterator[str]:
    """Every moment is of the ledger's clock, whatever those of its workers showed."""
    at = stack.now()
    odd = stack.rows(
        "SELECT id FROM attempt WHERE granted_at NOT BETWEEN :began AND :at "
        "OR claimed_at NOT BETWEEN granted_at AND :at OR reported_at NOT BETWEEN claimed_at AND :at",
        began=at - (time.monotonic() - load.answers[0].sent_at) - ASIDE_SECONDS,
        at=at,
    )
    if odd:
        yield f"{len(odd)} attempt(s) have a moment of another clock, first {odd[0].id}"


def _never(stack: Stack, load: Load, monkey: Monkey) -> Iterator[str]:
    """What the faults that were done must have brought about, and did not."""
    if stack.notes.broker_away and not _submitted_without_broker(stack, load):
        yield "while the broker was away nothing was submitted, so that nothing is known of it"
    granted = stack.rows(
        "SELECT count(DISTINCT subtask_id) AS number FROM attempt JOIN job ON job.id = attempt.job_id "
        "WHERE job.tenant = 'acme'"
    )[0].number
    if monkey.only is None and granted < load.subtasks:
        yield f"of {load.subtasks} subtasks that were asked for {granted} were granted"
    for each, times in happened(stack, load, monkey):
        if not times:
            yield f"it never happened that {each.says}"


def _sometimes(stack: Stack, load: Load, monkey: Monkey) -> Iterator[Figure]:
    for each, times in happened(stack, load, monkey):
        yield Figure(each.says, times)


def _submitted_without_broker(stack: Stack, load: Load) -> list[Answer]:
    """The answers to what was submitted while the broker was away and no fault had killed the API."""
    gone = list(_without_api(stack, load))
    return [
        answer
        for began, ended in stack.notes.broker_away
        for answer in load.answers
        if began <= answer.sent_at <= ended and not any(b <= answer.sent_at < e for b, e in gone)
    ]


def _without_api(stack: Stack, load: Load) -> Iterator[tuple[float, float]]:
    """From when until when nobody listened, since a fault had killed the API and it was not back: what is submitted
    then tells nothing of any other fault."""
    for killed in stack.notes.api_killed:
        answered = (
            answer.answered_at for answer in load.answers if answer.status and answer.sent_at > killed
        )
        yield killed, min(answered, default=math.inf)


def _figures(stack: Stack, load: Load) -> Iterator[Figure]:
    if back := _taken_back(stack):
        name = f"{len(back)} attempts of killed or stopped workers taken back"
        yield Figure(f"{name}, p99", _p99(back), "s", LEASE_SECONDS + 3)
    again = list(_claimed_again(stack, stack.notes.killed))
    if first := [each.seconds for each in again if not each.suspect]:
        yield Figure(f"{len(first)} of them claimed again at once, the median", median(first), "s")
        yield Figure("and at p99", _p99(first), "s", LEASE_SECONDS + 3)
    if suspects := [each.seconds for each in again if each.suspect]:  # beside no other one, so that they wait
        yield Figure(f"{len(suspects)} claimed again as suspects, the median", median(suspects), "s")
        yield Figure("and at p99", _p99(suspects), "s")
    if rung := list(_rung_again(stack, stack.notes.flushed)):
        yield Figure(f"{len(rung)} doorbells flushed, the last rung again after", max(rung), "s", 5)
    if flushed := [each.seconds for each in _claimed_again(stack, stack.notes.flushed, or_itself=True)]:
        yield Figure("and the last of their attempts claimed after", max(flushed), "s")
    if stack.notes.broker_away:
        during = _submitted_without_broker(stack, load)
        errors = sum(answer.job_id is None for answer in during)
        yield Figure(f"intake errors of {len(during)} while the broker was away", errors, "", 0)
        yield Figure("broker back, first claim after", max(_first_claims(stack)), "s", 5)
    if late := [each.seconds for each in _claimed_again(stack, stack.notes.rung_late, or_itself=True)]:
        yield Figure(f"{len(late)} doorbells had waited for it, the last one's claimed after", max(late), "s")
    if away := while_away(load, stack.notes.ledger_away):
        slowest = max(answer.answered_at - answer.sent_at for answer in away)
        yield Figure(f"slowest of {len(away)} answers while the ledger was away", slowest, "s", RETRY_SECONDS)
    calls = _asked(stack)
    states = {row.id: row.state for row in stack.rows("SELECT id, state FROM attempt")}
    yield Figure("calls to vendors", len(calls))
    yield Figure("of attempts that died, each ambiguous", sum(states.get(a) == "lost" for a in calls))
    rung = stack.rows("SELECT sum(rings) AS rings, count(DISTINCT subtask_id) AS subtasks FROM attempt")[0]
    yield Figure("subtasks that were granted", rung.subtasks)
    yield Figure("doorbells for each of them", float(rung.rings) / max(rung.subtasks, 1), "", 3, always=True)


def _taken_back(stack: Stack) -> list[float]:
    """Seconds from a worker's end until the ledger said so of what it had held."""
    lost = stack.rows("SELECT id, ended_at FROM attempt WHERE state = 'lost'")
    return [row.ended_at - stack.notes.killed[row.id] for row in lost if row.id in stack.notes.killed]


@dataclass(frozen=True)
class Again:
    """A subtask that was claimed after its attempt had been marked."""

    seconds: float
    """From the mark to the claim."""
    suspect: bool
    """Whether it then ran as one."""


def _claimed_again(stack: Stack, marked: dict[str, float], or_itself: bool = False) -> Iterator[Again]:
    """What became of the subtasks of these attempts; those that never were claimed again are left out, since
    their job may have been over."""
    query = (
        "SELECT marked.id AS marked, later.id, later.claimed_at, later.suspect FROM attempt AS marked "
        "JOIN attempt AS later ON later.subtask_id = marked.subtask_id "
        "WHERE marked.id IN :marked AND later.claimed_at IS NOT NULL ORDER BY later.claimed_at"
    )
    found: dict[str, Again] = {}
    for row in _rows_of(stack, query, marked):
        after = row.claimed_at - marked[row.marked]
        if after > 0 and (or_itself or row.id != row.marked):
            found.setdefault(row.marked, Again(after, bool(row.suspect)))
    yield from found.values()


def _rung_again(stack: Stack, flushed: dict[str, float]) -> Iterator[float]:
    """Seconds until each of these attempts was rung again or claimed, or its subtask granted anew; the ledger keeps
    the latest ring, so that this is rather too much. Where none of it came, the job was over."""
    query = (
        "SELECT gone.id, gone.rung_at, gone.claimed_at, (SELECT min(later.granted_at) FROM attempt AS later WHERE "
        "later.subtask_id = gone.subtask_id AND later.granted_at > gone.granted_at) AS granted_anew "
        "FROM attempt AS gone WHERE gone.id IN :marked"
    )
    for row in _rows_of(stack, query, flushed):
        moments = (row.rung_at, row.claimed_at, row.granted_anew)
        if after := [each - flushed[row.id] for each in moments if each and each > flushed[row.id]]:
            yield min(after)


def _rows_of(stack: Stack, query: str, marked: dict[str, float]) -> Iterator[Any]:
    """What a query says of these attempts, which it knows as `:marked`."""
    ids = list(marked)
    for start in range(0, len(ids), AT_A_TIME):
        yield from stack.rows(query, marked=ids[start : start + AT_A_TIME])


def _first_claims(stack: Stack) -> list[float]:
    """For each return of the broker, seconds until anything was claimed."""
    query = "SELECT min(claimed_at) AS at FROM attempt WHERE claimed_at > :back AND lane <> 'upkeep'"
    firsts = [(back, stack.rows(query, back=back)[0].at) for back in stack.notes.broker_back]
    return [first - back for back, first in firsts if first is not None] or [float("inf")]


def _p99(values: list[float]) -> float:
    return sorted(values)[min(int(len(values) * 0.99), len(values) - 1)]
