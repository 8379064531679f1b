"""``python -m tests.bench [flow|idle]``: prints figures, ours beside those of others."""

import argparse
import sys

from tests.bench import flow, idle
from tests.bench.services import NotNamed


def main() -> int:
    """Runs the measurements asked for; 1 where a service they need was not named."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures ours and theirs in the same run."
    )
    parser.add_argument("what", nargs="?", default="flow", choices=["flow", "idle"])
    parser.add_argument("--jobs", type=int, default=flow.JOBS)
    options = parser.parse_args()
    try:
        idle.measure() if options.what == "idle" else flow.measure(options.jobs)
    except NotNamed as missing:
        sys.stderr.write(f"make bench: {missing}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
