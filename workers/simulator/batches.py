"""Batches: requests handed in together, answered later, for half the price and from a pool of their own."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from workers.simulator.call import Call, Inbound, Rejected
from workers.simulator.dialects.dialect import Dialect, Wire
from workers.simulator.exchange import Exchange
from workers.simulator.failure import Failure, FailureKind


class Fate(StrEnum):
    """What became of one request of a batch."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Item:
    """One request of a batch, under the name its caller gave it."""

    name: str
    inbound: Inbound


@dataclass(frozen=True)
class Result:
    """One request's end. The wire is its answer or its error, and None where it was never begun."""

    name: str
    fate: Fate
    wire: Wire | None


@dataclass
class Submitted:
    """One batch from its submission on."""

    id: str
    dialect: Dialect
    account: str
    model: str
    """Of the first request."""
    items: Sequence[Item]
    created_at: datetime
    began: float
    """Seconds of the monotonic clock, and so the two below."""
    due: float
    expires_at: datetime
    late: bool
    """Whether its time is up before its turn comes."""
    cancelled: bool = False
    ended_at: datetime | None = None
    results: tuple[Result, ...] = ()

    def count(self, fate: Fate) -> int:
        return sum(result.fate is fate for result in self.results)


class Full(Exception):
    """The account has as much waiting as it may."""


class Batches:
    """All batches of all vendors. The work of one is done when it is looked at after its time."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._clock = clock
        self._batches: dict[str, Submitted] = {}
        self._files: dict[str, bytes] = {}

    def submit(self, dialect: Dialect, prefix: str, key: str, items: Sequence[Item]) -> Submitted:
        """Takes a batch in. Raises ``Full``, and ``Rejected`` where nothing is asked or a name comes twice."""
        if not items or len({item.name for item in items}) < len(items):
            raise Rejected("invalid", "requests: at least one is needed, each with a name of its own")
        settings, now, at = self._exchange.settings.batches, self._clock(), datetime.now(UTC)
        account = self._exchange.settings.account_of(key)
        if self._waiting(dialect.vendor, account) + len(items) > settings.queued_requests:
            raise Full
        takes = min(settings.seconds, settings.expires_seconds) / settings.speed_up
        batch = Submitted(
            id=f"{prefix}{uuid.uuid4().hex[:24]}",
            dialect=dialect,
            account=account,
            model=_model(dialect, items[0]),
            items=items,
            created_at=at,
            began=now,
            due=now + takes,
            expires_at=at + timedelta(seconds=settings.expires_seconds),
            late=settings.seconds > settings.expires_seconds,
        )
        self._batches[batch.id] = batch
        return batch

    def get(self, dialect: Dialect, key: str, name: str) -> Submitted | None:
        """The account's batch as it stands, its results with it once it is due."""
        batch = self._batches.get(name)
        if batch is None or (batch.dialect.vendor, batch.account) != (
            dialect.vendor,
            self._exchange.settings.account_of(key),
        ):
            return None
        if batch.ended_at is None and (batch.cancelled or self._clock() >= batch.due):
            batch.results = tuple(self._result(batch, item) for item in batch.items)
            batch.ended_at = datetime.now(UTC)
        return batch

    def keep(self, name: str, content: bytes) -> None:
        """Keeps a file."""
        self._files[name] = content

    def file(self, name: str) -> bytes | None:
        return self._files.get(name)

    def reset(self) -> None:
        self._batches.clear()
        self._files.clear()

    def _waiting(self, vendor: str, account: str) -> int:
        return sum(
            len(batch.items)
            for batch in self._batches.values()
            if (batch.dialect.vendor, batch.account) == (vendor, account) and batch.ended_at is None
        )

    def _result(self, batch: Submitted, item: Item) -> Result:
        if batch.cancelled:
            return Result(item.name, Fate.CANCELED, None)
        try:
            call = replace(batch.dialect.read(item.inbound), attempt=item.name)
        except Rejected as rejected:
            failure = Failure(FailureKind.INVALID, rejected.model, rejected.message)
            return Result(item.name, Fate.ERRORED, batch.dialect.failure(failure, batch.id))
        return self._answered(batch, item, call)

    def _answered(self, batch: Submitted, item: Item, call: Call) -> Result:
        settings, lot = self._exchange.settings.batches, self._exchange.chance.look(call)
        if batch.late or lot.falls("expired in a batch", settings.expired):
            return Result(item.name, Fate.EXPIRED, None)
        if lot.falls("errored in a batch", settings.errored):
            failure = Failure(FailureKind.SERVER_ERROR, call.model)
            return Result(item.name, Fate.ERRORED, batch.dialect.failure(failure, batch.id))
        return Result(item.name, Fate.SUCCEEDED, self._exchange.write(batch.dialect, call, batch.id))


def _model(dialect: Dialect, item: Item) -> str:
    return item.inbound.model or str(item.inbound.body.get("model", ""))
