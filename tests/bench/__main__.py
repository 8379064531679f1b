"""``python -m tests.bench [flow|idle|pacing|survival]``: prints figures, ours beside those of others.

Without a word it is ``flow``, which takes a few minutes. ``pacing`` takes 40 and is asked for.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from tests.bench import flow, idle
from tests.bench.pacing import run as pacing
from tests.bench.services import NotNamed
from tests.bench.survival import run as survival
from tests.bench.survival.harms import NAMES as HARMS
from tests.chaos.servers import NotHere


def main() -> int:
    """Runs the measurements asked for; 1 where a service they need is missing, or where survival was not proven."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # its services and processes end with it
    try:
        match options.what:
            case "flow":
                flow.measure(options.jobs)
            case "idle":
                idle.measure()
            case "pacing":
                pacing.measure(options.only, options.seeds, options.workers)
            case "survival":
                return survival.measure(options.seed, options.harm)
    except (NotNamed, NotHere) as missing:
        sys.stderr.write(f"make bench: {missing}\n")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures ours and theirs in the same run."
    )
    parser.add_argument("what", nargs="?", default="flow", choices=["flow", "idle", "pacing", "survival"])
    parser.add_argument("--jobs", type=int, default=flow.JOBS, help="flow: how many")
    parser.add_argument(
        "--only", action="append", default=[], choices=pacing.NAMES, help="pacing: only these"
    )
    parser.add_argument("--seeds", type=int, default=1, help="pacing: so many, one after the other")
    parser.add_argument(
        "--workers", type=_counts, default=(1, 8), help="pacing: numbers of worker processes, such as 1,2,4,8"
    )
    parser.add_argument("--harm", action="append", default=[], choices=HARMS, help="survival: only these")
    parser.add_argument("--seed", type=int, default=survival.SEED, help="survival: of load and harm")
    return parser.parse_args()


def _counts(words: str) -> Sequence[int]:
    counts = tuple(int(word) for word in words.split(","))
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("at least one worker process")
    return counts


if __name__ == "__main__":
    sys.exit(main())
