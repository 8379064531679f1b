"""The command line `fleet`: one file per noun. What a command needs is imported when it runs."""

import sys


def main() -> None:
    """The entry point of the console script."""
    from orchestrator.cli.app import app
    from orchestrator.cli.ending import run

    sys.exit(run(app))
