"""A broker in memory, reached by the relay through Celery as any other, that can be disturbed at every message."""

import base64
import json
from collections.abc import Callable
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import TRANSPORT_ALIASES, memory
from kombu.transport.virtual import BrokerState

from tests.simulation.clock import Meddle, When

URL = "crashing://"
TRANSPORT_ALIASES["crashing"] = "tests.crashes.broker:Transport"


class Channel(memory.Channel):
    queues: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    find: ClassVar[Callable[[], Any]] = staticmethod(lambda: None)
    meddle: ClassVar[Meddle] = staticmethod(lambda place, when: None)

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        place = Channel.find()
        Channel.meddle(place, When.BEFORE)
        super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
        Channel.meddle(place, When.AFTER)


class Transport(memory.Transport):
    Channel = Channel
    global_state = BrokerState()  # type: ignore[no-untyped-call]


def delivered() -> list[str]:
    """Takes everything away that was published: the attempts that doorbells name, canaries left out."""
    taken = []
    for queue in list(Channel.queues.values()):
        while True:
            try:
                body = json.loads(base64.b64decode(queue.get_nowait()["body"]))
            except Empty:
                break
            taken += body[0]
    return sorted(taken)
