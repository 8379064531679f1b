"""The database's own clock, in seconds since 1970: the only clock that decides anything."""

from typing import Any

from sqlalchemy import Connection, Double, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import GenericFunction


class wall_clock(GenericFunction[float]):
    """The wall clock at the moment the statement runs, not at the start of its transaction."""

    type = Double()
    inherit_cache = True


@compiles(wall_clock, "postgresql")
def _postgresql(element: ColumnElement[Any], compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(wall_clock, "sqlite")
def _sqlite(element: ColumnElement[Any], compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def now(connection: Connection) -> float:
    """What the database's clock shows."""
    return float(connection.execute(select(wall_clock())).scalar_one())
