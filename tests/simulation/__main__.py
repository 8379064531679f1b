"""The simulation by command: so many seeds, what went wrong in them, and how often each fault happened."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context

from tests.crashes import __main__ as crashes
from tests.simulation.run import Story, all_told

MOST_AT_ONCE = 50
"""Seeds that one process tells before it says what came of them."""


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["crashes"]:
        return crashes.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first of them (1)")
    parser.add_argument("--steps", type=int, default=300, help="of each, before the faults stop (300)")
    parser.add_argument("--jobs", type=int, default=1, help="in so many processes at once (1)")
    chosen = parser.parse_args(arguments)
    last, began = chosen.first + chosen.seeds, time.monotonic()
    some = min(MOST_AT_ONCE, -(-chosen.seeds // chosen.jobs))
    shares = [range(seed, min(seed + some, last)) for seed in range(chosen.first, last, some)]
    happened, violated = Counter[str](), []
    with ProcessPoolExecutor(chosen.jobs, get_context("spawn")) as pool:
        for story in chain.from_iterable(pool.map(partial(all_told, steps=chosen.steps), shares)):
            happened += story.happened
            if story.violation:
                violated.append(story.seed)
                _tell(story)
    for what, count in sorted(happened.items()):
        _print(f"{count:8}  {what}")
    seconds = time.monotonic() - began
    _print(
        f"{chosen.seeds} seeds of {chosen.steps} steps in {seconds:.0f} s, {len(violated)} violation(s)"
        + (f": {' '.join(map(str, violated))}" if violated else "")
    )
    return int(bool(violated))


def _tell(story: Story) -> None:
    _print(f"VIOLATION  seed {story.seed}: {story.violation}")
    for line in story.last:
        _print(f"    {line}")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
