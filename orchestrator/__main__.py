"""``python -m orchestrator`` is the command line `fleet`."""

from orchestrator.cli import main

main()
