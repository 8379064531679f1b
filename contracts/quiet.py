"""Quiet: a worker whose broker is away says so once, and once more when it is back."""

import logging

_COMPLAINTS = ("consumer: Cannot connect to", "consumer: Connection to broker lost")
_BACK = "Connected to"


class OncePerAbsence(logging.Filter):
    """Lets Celery's first complaint about its broker through, drops those that follow, and lets the news of
    the next connection through only where there was a complaint."""

    def __init__(self) -> None:
        super().__init__()
        self._away = False

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage().strip()
        if said.startswith(_COMPLAINTS):
            record.msg, record.args = f"{said.splitlines()[0].rstrip('. ')}; trying until it answers", ()
            was_away, self._away = self._away, True
            return not was_away
        if said.startswith(_BACK):
            was_away, self._away = self._away, False
            return was_away
        return True


def keep_quiet_while_away() -> None:
    """Puts the filter where Celery's consumer complains, and where it says that it is connected."""
    once = OncePerAbsence()
    logging.getLogger("celery.worker.consumer.consumer").addFilter(once)
    connected = logging.getLogger("celery.worker.consumer.connection")
    connected.setLevel(logging.INFO)  # else the good news is never made where only warnings are
    connected.addFilter(once)
