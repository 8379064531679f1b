"""Ids: sortable by time as the host shows it that makes them, unguessable by chance. What came before what is told by
links and by the database's clock, not by them."""

from ulid import ULID


def new_id() -> str:
    """A ULID: 26 characters."""
    return str(ULID())
