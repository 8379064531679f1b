"""``python -m tests.chaos``: one run under faults; 1 where a promise was broken, or where it proved too little."""

import argparse
import random
import signal
import sys
import time
from pathlib import Path

from tests.chaos.faults import BY_NAME_ONLY, FAULTS, left_out
from tests.chaos.load import Load
from tests.chaos.monkey import DONE_BETWEEN, Monkey
from tests.chaos.servers import NotHere
from tests.chaos.stacks import STACKS, running_stack
from tests.chaos.verdict import Verdict, judged

SMOKE_SECONDS = 90.0
SMOKE_SUBTASKS = 2000
WHOLE = 1000
"""From here on a figure is told without decimals."""


def main() -> int:
    """Does what was asked for."""
    options = _options()
    if options.list:
        for each in FAULTS.values():
            needs = f" (needs {each.needs})" if each.needs else ""
            _print(
                f"{each.name:24} {each.says}{needs}{', by name only' if each.name in BY_NAME_ONLY else ''}"
            )
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its servers end with it
    try:
        verdict, monkey = run(
            options.stack,
            options.seed,
            options.seconds,
            options.subtasks,
            options.fault,
            options.root,
            options.between,
            loud=True,
        )
    except NotHere as missing:
        sys.stderr.write(f"make chaos: {missing}\n")
        return 1
    return tell(verdict, monkey)


def run(
    stack: str,
    seed: int,
    seconds: float,
    subtasks: int,
    only: str | None = None,
    root: Path | None = None,
    between: int = DONE_BETWEEN,
    loud: bool = False,
) -> tuple[Verdict, Monkey]:
    """One run, from the servers' start to the verdict; raises NotHere."""

    def say(line: str) -> None:
        if loud:
            _print(f"{time.monotonic() - began:6.1f} s  {line}")

    began = time.monotonic()
    say(f"stack {stack}, seed {seed}, {subtasks} subtasks, {seconds:g} s of faults")
    with running_stack(stack, seed, root) as fleet:
        say("the fleet is ready")
        for each in left_out(fleet) if only is None else []:
            say(f"{each.name} is left out: it needs {each.needs}")
        monkey = Monkey(fleet, seconds, random.Random(seed), only, say, between)
        load = Load(
            fleet.api_url,
            subtasks,
            random.Random(seed),
            monkey.progress,
            fleet.open_jobs_lately,
            lambda: fleet.notes.hurried,
        )
        load.start()
        monkey.run(load.is_accepted)
        load.join()
        say("every job was accepted, and no fault is done any more")
        verdict = judged(fleet, load, monkey)
        load.stop()
        say("judged")
    return verdict, monkey


def tell(verdict: Verdict, monkey: Monkey) -> int:
    """Prints the tables; answers the exit code."""
    alone = monkey.only is not None
    _print(f"\n{'fault':26}{'done':>6}{'bit':>7}")
    for name in sorted(monkey.done):
        _print(f"{name:26}{monkey.done[name]:>6}{monkey.bit[name]:>7}")
    _print(f"\njobs: {dict(verdict.ended)}; dead letters: {dict(verdict.died)}\n")
    for figure in verdict.figures:
        bar = f"(at most {figure.bar:g})" if figure.bar is not None else ""
        mark = "" if figure.holds(alone) else "  MISSED"
        value = f"{figure.value:,.0f}" if figure.value >= WHOLE else f"{figure.value:.4g}"
        _print(f"{figure.name:64}{value:>9} {figure.unit:2}{bar}{mark}")
    for violation in verdict.violations:
        _print(f"VIOLATION  {violation}")
    missed = [figure for figure in verdict.figures if not figure.holds(alone)]
    _print(f"\n{len(verdict.violations)} violation(s), {len(missed)} figure(s) missed")
    return int(bool(verdict.violations or missed))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Harms a fleet and judges what became of it."
    )
    parser.add_argument("--stack", default="postgresql", choices=STACKS)
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME", help="this one alone; see --list")
    parser.add_argument("--list", action="store_true", help="the names of all faults")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=SMOKE_SECONDS, help="of faults")
    parser.add_argument("--root", type=Path, help="keeps the fleet's files and logs here")
    parser.add_argument("--subtasks", type=int, default=SMOKE_SUBTASKS)
    parser.add_argument(
        "--between",
        type=int,
        default=DONE_BETWEEN,
        help="subtasks that end between two faults, once each was done (%(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
