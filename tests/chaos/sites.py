"""The sites as a witness: what their posts tables name, and what stands beside them.

A posts table takes the key of an effect once. An effect that is applied again by the same key is refused there, so
no table shows it; what shows is a job that stands by two keys, and a page whose files were written again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from contracts.artifacts import digest_of

TABLE = "posts.sqlite3"


def jobs(root: Path) -> Iterator[str]:
    """The job of every post of every site below."""
    for table in root.rglob(TABLE):
        with closing(sqlite3.connect(table)) as connection:
            yield from (job for (job,) in connection.execute("SELECT job FROM posts"))


def rewritten(root: Path) -> Iterator[Path]:
    """The pages that are not, or no more, the ones that were posted."""
    for table in root.rglob(TABLE):
        with closing(sqlite3.connect(table)) as connection:
            posted = connection.execute("SELECT slug, page_digest FROM posts").fetchall()
        for slug, digest in posted:
            page = table.with_name(f"{slug}.html")
            if not page.exists() or digest_of(page.read_bytes()) != digest:
                yield page
