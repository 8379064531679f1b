"""Every crash point with every fault on each database: `make simulate ARGS=crashes`."""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.catalog_files import load_catalog
from tests.crashes import ledgers
from tests.crashes.cases import cases, run, told
from tests.integration.small_fleet import CATALOG
from tests.memory import MEMORY


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="crashes", description=__doc__)
    parser.add_argument("--every-story", action="store_true", help="each place in every story that passes it")
    parser.add_argument("--place", default="", help="only places whose name contains this")
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    catalog, broken = load_catalog(CATALOG), 0
    with (
        tempfile.TemporaryDirectory(prefix="fleet-crashes-", dir=MEMORY) as folder,
        ledgers.sqlite(Path(folder)) as sqlite,
        ledgers.postgresql() as postgresql,
    ):
        undisturbed = told(sqlite, catalog)
        wanted = [case for case in cases(undisturbed, chosen.every_story) if chosen.place in case.place]
        for database, fresh in (("sqlite", sqlite), ("postgresql", postgresql)):
            if fresh is None:
                _print(f"{database}: none is named")
                continue
            began, failed = time.monotonic(), 0
            for case in wanted:
                try:
                    run(case, fresh, catalog, undisturbed)
                except Exception as error:
                    failed += 1
                    _print(f"BROKEN on {database}: {case}: {type(error).__name__}: {error}"[:1500])
            seconds = time.monotonic() - began
            _print(f"{database}: {len(wanted)} crashes in {seconds:.0f} s, {failed} broken")
            broken += failed
    return 1 if broken else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
