"""Quiet: a worker whose broker is away says so once, and once more when it is back."""

import logging

_COMPLAINTS = ("consumer: Cannot connect to", "consumer: Connection to broker lost")
_NEXT_TRY = "\nTrying again "
_BACK = "Connected to"
_CHOSEN = "worker_cancel_long_running_tasks_on_connection_loss"
"""A setting that is chosen; Celery warns of its default at each loss of the connection all the same."""


class OncePerAbsence(logging.Filter):
    """Lets Celery's first complaint about its broker through, drops those that follow, and lets the news of
    the next connection through only where there was a complaint."""

    def __init__(self) -> None:
        super().__init__()
        self._away = False

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage().strip()
        if said.startswith(_COMPLAINTS):
            if _NEXT_TRY in said:  # it tells of the first try only, and there are many
                record.msg, record.args = (
                    f"{said.split(_NEXT_TRY)[0].rstrip('. ')}; trying until it answers",
                    (),
                )
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
    logging.getLogger("py.warnings").addFilter(lambda record: _CHOSEN not in record.getMessage())
