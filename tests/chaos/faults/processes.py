"""Faults of processes: they are killed, stopped, told to end, or have a wrong clock."""

import resource
import signal
import time
from functools import partial
from pathlib import Path

from tests.chaos.faults.registry import FAULTS, Fault, fault
from tests.chaos.servers import set_skew, skewing_library
from tests.chaos.stacks import (
    LEASE_SECONDS,
    LOOK_SECONDS,
    ORCHESTRATORS,
    READY_SECONDS,
    WAITING,
    Stack,
    children_of,
    eventually,
    send,
)

SKEW_SECONDS = (7200, -7200)
SPARE_BYTES = 4 << 20
"""For what is small, and too little for a huge answer."""
HUGE = {"kind": "huge", "times": 3}
SHORT_SECONDS = 60.0
"""The answers wait for what else vendors were told to do, and a worker that had a huge one before may have room."""
LATE_SECONDS = 20.0
"""Within so long a worker that goes on has reported what it held; its calls may still be waiting for their vendor."""


@fault("kill-worker")
def kill_worker(stack: Stack) -> int:
    """SIGKILL of a worker with attempts in its hands."""
    if not (caught := stack.caught_at_work()):
        return 0
    role, pid, held = caught
    send(pid, signal.SIGKILL)
    stack.note_killed(held)
    return len(held) if stack.back(role, pid) else 0


@fault("kill-child")
def kill_child(stack: Stack) -> int:
    """SIGKILL of a child of the prefork pool, whose parent starts another one."""
    pid = stack.pid_of("worker-computing")
    children = children_of(pid) if pid else []
    killed = [child for child in children[-1:] if send(child, signal.SIGKILL)]
    if pid is None or not killed:
        return 0
    return int(bool(eventually(lambda: set(children_of(pid)) - set(children))))


@fault("stop-worker")
def stop_worker(stack: Stack) -> int:
    """SIGSTOP of a worker until what it held was taken away: what it then reports comes late and is fenced out."""
    if not (caught := stack.caught_at_work()):
        return 0
    _, pid, held = caught
    stack.note_killed(held)
    lost = "SELECT id FROM attempt WHERE state = 'lost' AND id IN :held"
    eventually(lambda: len(stack.rows(lost, held=held)) == len(held), 1.5 * LEASE_SECONDS)
    send(pid, signal.SIGCONT)
    fenced = "SELECT seq FROM event WHERE kind = 'attempt_stale' AND attempt_id IN :held"
    return len(eventually(lambda: stack.rows(fenced, held=held), LATE_SECONDS) or [])


@fault("term-worker")
def term_worker(stack: Stack) -> int:
    """SIGTERM of a worker, as a rolling deployment does it."""
    pid = stack.signal(WAITING[1], signal.SIGTERM)
    return int(pid is not None and stack.back(WAITING[1], pid))


def _kill_role(stack: Stack, roles: tuple[str, ...]) -> int:
    killed = {role: pid for role in roles if (pid := stack.signal(role, signal.SIGKILL))}
    if "api" in killed:
        stack.notes.api_killed.append(time.monotonic())
    return sum(stack.back(role, pid) for role, pid in killed.items())


@fault("kill-leader")
def kill_leader(stack: Stack) -> int:
    """SIGKILL of the orchestrator that leads; the other one takes over."""
    (leader,) = stack.rows("SELECT holder, epoch FROM leader WHERE name = 'loop'")
    led = {role for role in ORCHESTRATORS if leader.holder.endswith(f"/{stack.pid_of(role)}")}
    if not led or stack.signal(led.pop(), signal.SIGKILL) is None:
        return 0
    after = "SELECT epoch FROM leader WHERE epoch > :epoch"
    return int(bool(eventually(lambda: stack.rows(after, epoch=leader.epoch))))


for role in ("api", "beat", "upkeep"):
    FAULTS[f"kill-{role}"] = Fault(
        f"kill-{role}", f"SIGKILL of the process `{role}`", partial(_kill_role, roles=(role,))
    )


@fault("kill-orchestrators")
def kill_orchestrators(stack: Stack) -> int:
    """SIGKILL of both orchestrators, and with them of both relays."""
    return _kill_role(stack, ORCHESTRATORS)


@fault("memory-short", "Linux")
def memory_short(stack: Stack) -> int:
    """Both workers that wait get no more memory, while answers of ten megabytes come in until one has no room. It
    bites by what was refused it, and by the workers that ended for that."""
    before, limited = _refused_memory(stack), dict[str, int]()

    def has_bitten() -> bool:
        if not any(each["kind"] == HUGE["kind"] for each in stack.vendors.scripted()):
            stack.vendors.script(HUGE)
        return _refused_memory(stack) > before or bool(_ended(stack, limited))

    try:
        limited |= {role: pid for role in WAITING if (pid := stack.pid_of(role)) and _limit(pid, SPARE_BYTES)}
        eventually(has_bitten, SHORT_SECONDS, LOOK_SECONDS)
    finally:
        for pid in limited.values():
            _limit(pid, None)
    return _refused_memory(stack) - before + len(_ended(stack, limited))


def _refused_memory(stack: Stack) -> int:
    return int(stack.rows("SELECT count(*) AS number FROM attempt WHERE code = 'unfit_worker'")[0].number)


def _ended(stack: Stack, processes: dict[str, int]) -> list[str]:
    return [role for role, pid in processes.items() if stack.pid_of(role) != pid]


def _limit(pid: int, more: int | None) -> bool:
    """Lets a process have so many bytes more of address space; None: as many as it wants. Whether it was there."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        wanted = most if more is None else pages * resource.getpagesize() + more
        resource.prlimit(pid, resource.RLIMIT_AS, (wanted, most))
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


@fault("clock-skew", "PostgreSQL and cc")
def clock_skew(stack: Stack) -> int:
    """One worker's clock is two hours ahead and another one's two hours behind, from their next start on; then one of
    them steps four hours while attempts are in its hands."""
    library = skewing_library(stack.root)
    clocks = dict(zip(WAITING, (stack.root / f"{role}.skew" for role in WAITING), strict=True))
    skewed = []
    for role, seconds in zip(WAITING, SKEW_SECONDS, strict=True):
        set_skew(clocks[role], seconds)
        pid = stack.started_again(role, LD_PRELOAD=str(library), SKEW_FILE=str(clocks[role]))
        skewed += [pid] if pid else []
    if not all(str(library) in Path(f"/proc/{pid}/maps").read_text() for pid in skewed):
        return 0
    if not eventually(lambda: _worked_by(stack, skewed), READY_SECONDS):
        return 0
    return _stepped(stack, dict(zip(WAITING, SKEW_SECONDS, strict=True)), clocks)


def _stepped(stack: Stack, skews: dict[str, int], clocks: dict[str, Path]) -> int:
    """Sets the clock of a worker that is at work to the other side; answers how many attempts it held."""
    if not (caught := stack.caught_at_work()):
        return 0
    role, pid, held = caught
    set_skew(clocks[role], -skews[role])
    send(pid, signal.SIGCONT)
    return len(held)


def _worked_by(stack: Stack, pids: list[int]) -> list[str]:
    """What they have done."""
    query = "SELECT id FROM attempt WHERE reported_at IS NOT NULL AND worker LIKE :worker"
    return [row.id for pid in pids for row in stack.rows(query, worker=f"%/{pid}")]
