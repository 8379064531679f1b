"""Ids: sortable by time, unguessable by chance."""

from ulid import ULID


def new_id() -> str:
    """A ULID: 26 characters."""
    return str(ULID())
