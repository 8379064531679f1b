"""Unsigned: dead letters of a version that gave them no signature get theirs when an orchestrator starts."""

from sqlalchemy import Connection, bindparam, select, update

from orchestrator.deciders.signing import normalised, signature
from orchestrator.ledger.engine import Ledger
from orchestrator.ledger.tables import dead_letter, subtask

AT_ONCE = 1000

_SIGN = (
    update(dead_letter)
    .where(dead_letter.c.subtask_id == bindparam("_subtask_id"))
    .values(
        vendor=bindparam("_vendor"), normalised=bindparam("_normalised"), signature=bindparam("_signature")
    )
)


def sign(ledger: Ledger) -> int:
    """Signs all that have none, some at a time, and says how many they were."""
    signed = 0
    while True:
        with ledger.write() as connection:
            found = _some(connection)
        signed += found
        if found < AT_ONCE:
            return signed


def _some(connection: Connection) -> int:
    letters = connection.execute(
        select(dead_letter, subtask.c.vendor.label("asked"))
        .join(subtask, subtask.c.id == dead_letter.c.subtask_id)
        .where(dead_letter.c.signature == "")
        .order_by(dead_letter.c.subtask_id)  # orchestrators that start together lock them in one order
        .limit(AT_ONCE)
    ).all()
    rows = []
    for letter in letters:
        alike = normalised(letter.sentence)
        rows.append(
            {
                "_subtask_id": letter.subtask_id,
                "_vendor": letter.asked,
                "_normalised": alike,
                "_signature": signature(letter.category, letter.code, letter.lane, letter.asked, alike),
            }
        )
    if rows:
        connection.execute(_SIGN, rows)
    return len(rows)
