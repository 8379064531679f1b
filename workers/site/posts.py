"""The posts table: which page of a site belongs to which effect. It decides; files only follow it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

BUSY_SECONDS = 30.0
"""How long a publisher waits for another one; a publication takes milliseconds."""

_SCHEMA = """
create table if not exists posts (
    slug text not null unique,
    effect_key text not null unique,
    job text not null,
    title text not null,
    description text not null,
    page_digest text not null,
    published_at text not null
)
"""


@dataclass(frozen=True)
class Post:
    """One row; the fields stand in the order of the columns."""

    slug: str
    effect_key: str
    job: str
    title: str
    description: str
    page_digest: str
    published_at: str
    """ISO 8601, UTC."""


class Posts:
    """The rows, seen from inside one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self) -> list[Post]:
        """Every post, the newest first."""
        return self._select("order by published_at desc, slug")

    def of_effect(self, key: str) -> Post | None:
        return next(iter(self._select("where effect_key = ?", key)), None)

    def of_slug(self, slug: str) -> Post | None:
        return next(iter(self._select("where slug = ?", slug)), None)

    def of_job(self, job: str) -> list[Post]:
        return self._select("where job = ?", job)

    def add(self, post: Post) -> None:
        self._connection.execute("insert into posts values (?, ?, ?, ?, ?, ?, ?)", astuple(post))

    def remove(self, post: Post) -> None:
        self._connection.execute("delete from posts where effect_key = ?", (post.effect_key,))

    def _select(self, rest: str, *values: str) -> list[Post]:
        columns = "slug, effect_key, job, title, description, page_digest, published_at"
        rows = self._connection.execute(f"select {columns} from posts {rest}", values)
        return [Post(*row) for row in rows]


@contextmanager
def writing(path: Path) -> Iterator[Posts]:
    """The table under its write lock: one publisher at a time, across processes. Commits at the end, and
    rolls back where the block raises."""
    with closing(_connect(path)) as connection:
        connection.execute("begin immediate")
        try:
            connection.execute(_SCHEMA)
            yield Posts(connection)
            connection.execute("commit")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")


@contextmanager
def reading(path: Path) -> Iterator[Posts]:
    """The table as it stands. A site that nobody published to reads like an empty one and is not made."""
    where = path if path.exists() else Path(":memory:")
    with closing(_connect(where)) as connection:
        # Only the first publisher's crash, between file and table, lets this create anything.
        connection.execute(_SCHEMA)
        yield Posts(connection)


def _connect(path: Path) -> sqlite3.Connection:
    # Without an isolation level the module begins no transactions of its own.
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
