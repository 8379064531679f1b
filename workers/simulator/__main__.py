"""``python -m workers.simulator``."""

from workers.simulator.process import main

main()
