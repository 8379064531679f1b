"""The services a measurement uses: only those that FLEET_TEST_DATABASE_URL and FLEET_TEST_REDIS_URL name."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from sqlalchemy import create_engine, make_url, text


@dataclass(frozen=True)
class Services:
    """A database of this run's own, and two numbered databases of the Redis that was named."""

    database_url: str
    fleet_redis_url: str
    peer_redis_url: str


OURS = (b"_kombu", b"lane.", b"celery", b"unacked", b"chord")
"""How the keys begin that a measurement leaves behind when it is killed."""


class NotNamed(Exception):
    """A service that the measurement needs was not named."""


@contextmanager
def services() -> Iterator[Services]:
    """The services, cleaned up afterwards; raises NotNamed."""
    server, broker = os.environ.get("FLEET_TEST_DATABASE_URL"), os.environ.get("FLEET_TEST_REDIS_URL")
    if not server or not broker:
        raise NotNamed("this measurement needs FLEET_TEST_DATABASE_URL and FLEET_TEST_REDIS_URL")
    root = broker.rsplit("/", 1)[0]
    name = f"fleet_bench_{secrets.token_hex(4)}"
    with _admin(server) as run:
        run(f'CREATE DATABASE "{name}"')
        database = make_url(server).set(database=name).render_as_string(hide_password=False)
        try:
            yield Services(database, _empty(f"{root}/13"), _empty(f"{root}/14"))
        finally:
            run(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _admin(url: str) -> Iterator[object]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement: connection.execute(text(statement))
    engine.dispose()


def _empty(url: str) -> str:
    """A numbered database that holds nothing, or none at all: somebody else's keys are not ours to delete."""
    with redis.Redis.from_url(url) as client:
        foreign = sum(not key.startswith(OURS) for key in client.scan_iter())
        if foreign:
            raise NotNamed(f"{url} holds {foreign} key(s) of somebody else; empty it or name another Redis")
        client.flushdb()
    return url
