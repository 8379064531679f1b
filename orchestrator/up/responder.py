"""The responder: follows the log route and acknowledges drills through the API, as somebody on call would.

Real escalations are left to people.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
NAME = "fleet-up-responder"


@contextmanager
def responding(route: Path, api_url: str) -> Iterator[None]:
    """Follows the route in a thread for as long as the block runs."""
    from orchestrator.client import FleetClient
    from orchestrator.settings import Settings

    stopping = threading.Event()
    client = FleetClient(api_url, Settings().api_key)

    def acknowledge(escalation: str) -> None:
        client.acknowledge(escalation, NAME)

    thread = threading.Thread(target=follow, args=(route, acknowledge, stopping), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(timeout=POLL_SECONDS * 5)
        client.close()


def follow(route: Path, acknowledge: Callable[[str], None], stopping: threading.Event) -> None:
    """Acknowledges every drill that is written to the route from now on."""
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
