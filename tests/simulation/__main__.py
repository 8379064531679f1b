"""The simulation by command: so many seeds, what went wrong in them, and how often each fault happened."""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from orchestrator.catalog_files import load_catalog
from tests.crashes import __main__ as crashes
from tests.crashes import ledgers
from tests.integration.small_fleet import CATALOG
from tests.simulation.run import Story, told


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["crashes"]:
        return crashes.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first of them (1)")
    parser.add_argument("--steps", type=int, default=300, help="of each, before the faults stop (300)")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    catalog, happened, violated = load_catalog(CATALOG), Counter[str](), []
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="fleet-simulation-", dir=ledgers.MEMORY) as folder,
        ledgers.sqlite(Path(folder)) as fresh,
    ):
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            story = told(seed, chosen.steps, fresh, catalog)
            happened += story.happened
            if story.violation:
                violated.append(seed)
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
