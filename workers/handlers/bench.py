"""The no-op handler: what is left of an attempt when the work is taken out of it."""

from contracts.bench import Nothing
from workers.task import Task


def nothing(task: Task) -> Nothing:
    """Does nothing, so that the cost of the fleet itself can be measured."""
    return Nothing()
