"""Changes: what operators and upkeep changed while the fleet ran, in the transaction that changed it."""

from sqlalchemy import Connection, insert

from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import setting_change


def limit_of(key: str, name: str) -> str:
    """What a limit of a budget is called in what was changed, whoever changes it."""
    return f"{name} of {key}"


def record(
    connection: Connection,
    by: str,
    what: str,
    old: str,
    new: str,
    reason: str,
    until: float | None = None,
) -> None:
    """Writes down who changed what, from what to what, and why; and until when, where it ends by itself."""
    values = {"at": now(connection), "actor": by, "what": what, "old": old, "new": new, "reason": reason}
    connection.execute(insert(setting_change).values(values | {"until": until}))
