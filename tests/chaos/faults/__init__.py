"""Every fault by its name. A fault harms one running fleet and answers how often it bit: 0 is a miss."""

import random

from tests.chaos.faults import broker, doorbells, ledger, processes, vendors  # each registers its own
from tests.chaos.faults.registry import BY_NAME_ONLY, FAULTS, Fault, faults_for, left_out
from tests.chaos.stacks import Stack

__all__ = [
    "BY_NAME_ONLY",
    "FAULTS",
    "Fault",
    "broker",
    "doorbells",
    "ledger",
    "left_out",
    "mixed",
    "processes",
    "vendors",
]


def mixed(stack: Stack, chance: random.Random) -> list[Fault]:
    """All that can be done to it and that a mixed run does, in an order of chance."""
    found = [each for each in faults_for(stack) if each.name not in BY_NAME_ONLY]
    chance.shuffle(found)
    return found
