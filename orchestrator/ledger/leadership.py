"""Leadership: one orchestrator decides, the others stand by.

Every deciding transaction locks the leader's row and checks its epoch, so a leader that was paused past its
lease cannot commit afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.ledger import events
from orchestrator.ledger.clock import now, wall_clock
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.events import Event, EventKind
from orchestrator.ledger.tables import leader

NAME = "loop"


_EPOCH = select(leader.c.epoch, wall_clock().label("at")).where(leader.c.name == NAME).with_for_update()


def hold_still(connection: Connection) -> None:
    """Nothing is decided beside this transaction: whoever leads waits for its end."""
    connection.execute(_EPOCH)


class Deposed(Exception):
    """Another orchestrator leads now; whatever this transaction decided is thrown away."""


class Leadership:
    """One process's bid to lead."""

    def __init__(self, ledger: Ledger, holder: str, lease_seconds: float) -> None:
        self._ledger = ledger
        self._holder = holder
        self.lease_seconds = lease_seconds
        self.epoch: int | None = None

    @property
    def leads(self) -> bool:
        """Whether this process led when it last looked."""
        return self.epoch is not None

    def seek(self) -> bool:
        """Takes or extends the lead; False while another holds it."""
        try:
            with self._ledger.write() as connection:
                return self._seek(connection)
        except IntegrityError:
            return False  # two orchestrators met an empty table; the other one was first

    def _seek(self, connection: Connection) -> bool:
        at = now(connection)
        row = connection.execute(select(leader).where(leader.c.name == NAME).with_for_update()).one_or_none()
        if row is None:
            self._take(connection, at, epoch=1, first=True)
        elif self.epoch == row.epoch and row.holder == self._holder:
            connection.execute(update(leader).values(lease_until=at + self.lease_seconds))
        elif row.lease_until <= at:
            self._take(connection, at, epoch=row.epoch + 1, first=False)
        else:
            self.epoch = None
            return False
        return True

    def _take(self, connection: Connection, at: float, epoch: int, first: bool) -> None:
        values = {"holder": self._holder, "epoch": epoch, "lease_until": at + self.lease_seconds}
        if first:
            connection.execute(insert(leader).values(name=NAME, **values))
        else:
            connection.execute(update(leader).where(leader.c.name == NAME).values(**values))
        events.record(
            connection, Event(at=at, kind=EventKind.LED, actor=self._holder, sentence=f"leads epoch {epoch}")
        )
        self.epoch = epoch

    @contextmanager
    def decide(self) -> Iterator[tuple[Connection, float]]:
        """A deciding transaction and its time; raises Deposed where another epoch has begun."""
        with self._ledger.write() as connection:
            row = connection.execute(_EPOCH).one()
            if row.epoch != self.epoch:
                raise Deposed(f"epoch {row.epoch} has begun, this was {self.epoch}")
            yield connection, row.at

    def resign(self) -> None:
        """Lets a standby take over at once."""
        if self.epoch is None:
            return
        with self._ledger.write() as connection:
            connection.execute(
                update(leader)
                .where(leader.c.name == NAME, leader.c.epoch == self.epoch)
                .values(lease_until=0)
            )
        self.epoch = None
