"""The responder: follows the log route and acknowledges drills, as somebody on call would."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


def follow(route: Path, acknowledge: Callable[[str], None], stopping: threading.Event) -> None:
    """Acknowledges every drill that is written to the route from now on; real escalations are left to people."""
    position = route.stat().st_size if route.exists() else 0
    while not stopping.wait(POLL_SECONDS):
        if not route.exists() or route.stat().st_size <= position:
            continue
        with route.open(encoding="utf-8") as lines:
            lines.seek(position)
            for line in lines.readlines():
                _respond(line, acknowledge)
            position = lines.tell()


def _respond(line: str, acknowledge: Callable[[str], None]) -> None:
    try:
        told = json.loads(line)
        if told["drill"]:
            acknowledge(told["escalation"])
    except Exception as error:
        log.warning("a line of the log route could not be answered: %s", error)
