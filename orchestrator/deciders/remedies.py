"""Remedies: what mends a shortage, and how much of it. Pure functions of the measured figures."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil

from contracts.failures import CATEGORY_OF, Category, Code
from contracts.lanes import Tier
from contracts.purposes import Purpose
from orchestrator.deciders.blaming import CALLS_AT_ONCE, CLOSED
from orchestrator.deciders.losses import Allowance, LaneLoad, Questions, Spent, Wait
from orchestrator.deciders.spans import span

DOMINATES = 0.5
"""From this share on maintenance is what a budget goes to."""
CACHED_ENOUGH = 0.2
"""From this share of cached input on a cache already does its part."""
ANSWERS_TO_JUDGE_BY = 10
APPROVED_ALWAYS = 0.95
"""A gate that lets so much pass has shown that it holds next to nothing back."""


class Fix(StrEnum):
    """What mends it."""

    PACE = "pace"
    CACHE = "cache"
    CHEAPER_TIER = "cheaper tier"
    ANOTHER_ACCOUNT = "another account"
    HIGHER_LIMIT = "higher limit"
    MORE_PROCESSES = "more processes"
    FEWER_GATES = "fewer gates"
    MORE_APPROVERS = "more approvers"
    MEND = "mend what fails"
    LIFT = "lift the hold"
    LOOK = "look at the orchestrator"


@dataclass(frozen=True)
class Remedy:
    """What to do, as a sentence with its numbers."""

    fix: Fix
    advice: str
    numbers: dict[str, float] = field(default_factory=dict)
    """The unit stands in the name."""


def for_hold(cap: str) -> Remedy:
    """What lifts a spending cap, or a hold that only its own words explain."""
    if cap:
        return Remedy(Fix.LIFT, f"raise the spending cap {cap}, or let its work wait until there is room")
    return Remedy(Fix.LIFT, "`fleet explain` of one of them says what lifts it")


def for_budget(
    allowance: Allowance,
    dimension: str,
    waits: Sequence[Wait],
    spent: Sequence[Spent],
    lanes: dict[str, LaneLoad],
) -> Remedy:
    """The cheapest thing that helps, in this order: open what is closed, allow more of what is ours to allow,
    let maintenance wait, ask less, ask something smaller, and only then buy more. `spent` is what drew on the
    same allowance."""
    lane = heaviest(waits)
    load = lanes.get(lane, LaneLoad())
    maintenance, cached = _share_of_maintenance(waits, spent), _cached_share(lane, spent)
    if dimension == CLOSED:
        return Remedy(
            Fix.PACE,
            f"the cause first ({allowance.closed}): pay, mend the key, or correct the limit and find who else uses "
            f"the account; then `fleet budgets open {allowance.keys[0]} --reason …`, or wait until it opens",
        )
    if dimension == CALLS_AT_ONCE and allowance.limits.get(CALLS_AT_ONCE, 0.0) < allowance.declared_calls:
        return Remedy(
            Fix.PACE,
            f"the vendor is overloaded, so {allowance.limits[CALLS_AT_ONCE]:.0f} of "
            f"{allowance.declared_calls:.0f} calls at once are let through until it recovers: "
            "another vendor for this lane until then",
        )
    if dimension == CALLS_AT_ONCE:
        return Remedy(Fix.HIGHER_LIMIT, "the number of calls at once is ours to choose: raise `concurrency`")
    if maintenance >= DOMINATES:
        return Remedy(
            Fix.PACE,
            f"maintenance is {maintenance:.0%} of what asks for it: lower its floor or give it to the batch API",
            {"maintenance_share": maintenance},
        )
    if load.repeatable and dimension != "output tokens" and cached < CACHED_ENOUGH:
        return Remedy(
            Fix.CACHE,
            f"lane {lane} may repeat itself, and {cached:.0%} of its input came from a cache: "
            "put what stays the same first, word by word",
            {"cached_share": cached},
        )
    if load.tier in (Tier.MID, Tier.FRONTIER):
        return Remedy(
            Fix.CHEAPER_TIER,
            f"most of it waited in lane {lane}, which works with a {load.tier} model: try one of a cheaper tier, "
            "which has limits of its own",
        )
    return _more(allowance, dimension, waits, spent)


def _more(allowance: Allowance, dimension: str, waits: Sequence[Wait], spent: Sequence[Spent]) -> Remedy:
    """What was paid for took the whole limit, so what still waits takes as much again for each of its own."""
    paid, still = sum(each.attempts for each in spent), sum(wait.still for wait in waits)
    numbers = {"limit": allowance.limits.get(dimension, 0.0)}
    per = "" if "per day" in dimension else " a minute"
    advice = f"open another account or ask for more than {numbers['limit']:,.0f} {dimension}{per}"
    if paid and still:
        times = numbers["times_the_limit"] = (paid + still) / paid
        advice += f": they paid for {paid} attempts and left {still} over, so it takes {times:.1f} times it"
    return Remedy(Fix.ANOTHER_ACCOUNT, advice, numbers)


def for_workers(
    lane: str, load: LaneLoad, waits: Sequence[Wait], spent: Sequence[Spent], window: float
) -> Remedy:
    """How many slots were missing, by Little's law (L = λ W), from both sides. As many as subtasks waited on
    average (their seconds over the window's) leave nobody waiting. As many as those subtasks keep busy (their
    number over the window, times the seconds that one takes) serve them beside all others. The smaller is
    enough. `spent` is what ended in the lane."""
    if not load.slots:
        return Remedy(Fix.MORE_PROCESSES, f"no live worker serves it: `fleet worker --lanes {lane}`")
    waiting = sum(wait.seconds for wait in waits) / window
    tried = sum(each.attempts for each in spent)
    service = sum(each.worker_seconds for each in spent) / tried if tried else None
    serving = waiting if service is None else sum(wait.count for wait in waits) * service / window
    slots = max(ceil(min(waiting, serving)), 1)
    processes = ceil(slots * load.workers / load.slots)
    numbers = {"slots_missing": float(slots), "processes_missing": float(processes), "mean_waiting": waiting}
    takes = f", and one takes {span(service)}" if service is not None else ""
    return Remedy(
        Fix.MORE_PROCESSES,
        f"{load.busy:.1f} of {load.slots} slots were busy while {waiting:.1f} subtasks waited on average{takes}: "
        f"{slots} more slots, so {processes} more of its processes (now {load.workers})",
        numbers | ({} if service is None else {"service_seconds": service}),
    )


def for_delivery(lane: str, load: LaneLoad) -> Remedy:
    """Nothing is short, so whoever brings work to workers is at fault."""
    if load.returned:
        return Remedy(
            Fix.LOOK,
            f"{load.returned} attempts of lane {lane} were granted and not claimed in time: look at the broker "
            "and at the workers' logs",
            {"returned": float(load.returned)},
        )
    return Remedy(
        Fix.LOOK,
        f"{load.slots - load.busy:.0f} of {load.slots} slots of lane {lane} are free: does `/readyz` name a leader?",
    )


def for_questions(asked: Questions) -> Remedy:
    """A gate at which people nearly always agree costs more than it holds back; otherwise they are too few."""
    share = asked.approved / asked.answers if asked.answers else 0.0
    numbers = {"answers": float(asked.answers), "approved_share": share}
    if asked.median_seconds is not None:
        numbers["median_answer_seconds"] = asked.median_seconds
    if asked.answers >= ANSWERS_TO_JUDGE_BY and share >= APPROVED_ALWAYS:
        return Remedy(
            Fix.FEWER_GATES,
            f"people approved {asked.approved} of the last {asked.answers}, half of them within "
            f"{span(asked.median_seconds or 0.0)}: ask only where something speaks against it",
            numbers,
        )
    median = "nobody has answered in days" if asked.median_seconds is None else (
        f"half of the last {asked.answers} answers took longer than {span(asked.median_seconds)}"
    )  # fmt: skip
    return Remedy(
        Fix.MORE_APPROVERS, f"{median}: call more people to `fleet approvals`, or ask less", numbers
    )


_BY_CODE = {
    Code.RATE_LIMITED: "the vendor allows less than the catalog says, or somebody else uses the account: "
    "lower the limit",
    Code.OVERLOADED: "the vendor has too much to do: fewer calls at once, or another vendor or tier for this lane",
    Code.TIMEOUT: "answers take longer than the lane's `timeout_seconds`: raise it or ask for less",
    Code.NOT_SENT: "the vendor is not reached: look at the network, the proxy and the address",
    Code.STORE_UNREACHABLE: "the artifact store does not take or give: `fleet check` tries it; look at its disk or "
    "service and at FLEET_ARTIFACTS_URL",
    Code.UNFIT_WORKER: "workers lack memory, room or a library: their logs say which; give them more, or fewer slots",
    Code.CUT: "answers do not fit: raise the lane's `max_output_tokens` or ask for less",
    Code.TOO_LATE: "deadlines are nearer than the work takes: `fleet explain` of one of them says what it waited for",
    Code.STOPPED: "a stopping rule of the workflow ended it: mend what made it grow, or raise its `stops`",
    Code.CRASHED: "workers die or fall silent: look at their logs and memory",
}
_BY_CATEGORY = {
    Category.TRANSIENT: "the vendor fails: see its status page; another vendor for this lane until then",
    Category.OUTPUT: "answers break their contract: mend the lane's instructions, or use a higher tier",
    Category.DETERMINISTIC: "it would fail the same way again: `fleet dead` has the requests",
    Category.JUDGEMENT: "more of the same does not help: `fleet dead` has what is missing",
    Category.GOVERNANCE: "a person has to act: credit, keys or the catalog",
    Category.PREREQUISITE: "something is missing: `fleet blockers` shows what; declare a supplier where it has none",
    Category.CRASH: "workers die or fall silent: look at their logs and memory",
}


def for_failure(code: Code) -> Remedy:
    """What to do about the commonest failure."""
    fix = Fix.PACE if code in (Code.RATE_LIMITED, Code.OVERLOADED) else Fix.MEND
    return Remedy(fix, _BY_CODE.get(code) or _BY_CATEGORY[CATEGORY_OF[code]])


def heaviest(waits: Sequence[Wait]) -> str:
    """The lane that waited most."""
    seconds = defaultdict[str, float](float)
    for wait in waits:
        seconds[wait.lane] += wait.seconds
    return max(seconds, key=lambda lane: seconds[lane])


def _share_of_maintenance(waits: Sequence[Wait], spent: Sequence[Spent]) -> float:
    """Of all that was paid or waited for."""
    asked = [(wait.purpose, wait.count) for wait in waits] + [(each.purpose, each.attempts) for each in spent]
    total = sum(count for _, count in asked)
    return sum(count for purpose, count in asked if purpose is Purpose.MAINTENANCE) / max(total, 1)


def _cached_share(lane: str, spent: Sequence[Spent]) -> float:
    """Of the lane's input."""
    own = [each for each in spent if each.lane == lane]
    return sum(each.cached_tokens for each in own) / max(sum(each.input_tokens for each in own), 1)
