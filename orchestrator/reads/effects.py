"""Effects: what was settled of one whose end nobody knew."""

from orchestrator.reads.base import Read


class SettledRead(Read):
    """What counts from here on."""

    key: str
    target: str
    applied: bool
