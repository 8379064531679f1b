"""Listing: names that were gathered, as rows of one statement."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Connection, Select, Text, cast, func, literal, select


def listed(connection: Connection, names: Iterable[str]) -> Select[Any]:
    """The names as rows of one column. They go as one parameter, of which a statement takes only so many."""
    text = literal(json.dumps(sorted(names)), Text)
    if connection.dialect.name == "postgresql":
        rows = func.json_array_elements_text(cast(text, JSON)).table_valued("value")
    else:
        rows = func.json_each(text).table_valued("value")
    return select(rows.c.value)
