"""Limits: what vendors list as an account's limits becomes what is declared in its budgets."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, exists, select, update

from contracts.account_limits import AccountLimits
from contracts.artifacts import ArtifactRef
from contracts.limits import Dimension
from contracts.maintenance import Findings
from orchestrator import purses
from orchestrator.deciders.declaring import Models, declared, said_of, sharing
from orchestrator.deciders.learning import Learned
from orchestrator.deciders.pacing import Purse, words
from orchestrator.ledger import changes
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import budget_level, setting_change
from orchestrator.upkeep.operations import ACTOR, Duty
from orchestrator.wake import ring

MOST_TOLD = 25
"""Changes that are named one by one among the facts of a finding."""

_DECLARE = (
    update(budget_level)
    .where(budget_level.c.key == bindparam("_key"), budget_level.c.dimension == bindparam("_dimension"))
    .values(declared_limit=bindparam("_declared_limit"), limit=bindparam("_limit"))
)


def apply(duty: Duty) -> Findings:
    """Declares what the vendors list, for every group of the catalog whose models they name. A limit that an operator
    has once set by hand is lowered by a vendor's list and never raised by it: raising it is the operator's.
    Dimensions that the catalog does not name are not paced, whatever the vendor lists."""
    lists = [
        _list(duty, item.artifact) for item in duty.handoff.context if item.name == "limits" and item.artifact
    ]
    found: dict[str, float] = {}
    with duty.ledger.write() as connection:
        at = now(connection)
        for each in lists:
            found |= _take(connection, each, _models(duty, each.vendor), at)
        if found:
            ring(connection)
    shared = [pair for each in lists for pair in sharing(_models(duty, each.vendor), each.allowed)]
    told = [f"{len(found)} limit(s) were changed", *(each.headline() for each in lists)]
    told += [
        f"{' and '.join(pair)} share one limit of their vendor and should be one group" for pair in shared
    ]
    return Findings(
        sentence="; ".join(told),
        found=dict(list(found.items())[:MOST_TOLD]),
        subjects=tuple(f"{each.vendor}/{each.account}" for each in lists),
    )


def _list(duty: Duty, ref: ArtifactRef) -> AccountLimits:
    return AccountLimits.model_validate_json(duty.store.get(ref.digest))


def _models(duty: Duty, vendor: str) -> Models:
    entry = duty.catalog.vendors.get(vendor)
    return {name: tuple(group.models) for name, group in entry.groups.items()} if entry else {}


def _take(connection: Connection, told: AccountLimits, models: Models, at: float) -> dict[str, float]:
    """Keeps what changes in the account's budgets, and answers it."""
    purses_now = purses.read_purses(connection, at, {})
    found: dict[str, float] = {}
    for group, said in said_of(models, told.allowed).items():
        purse = purses_now.get(purses.key_of(told.vendor, told.account, group))
        if purse is None:
            continue
        changed = dict(_changed(connection, purse, said))
        _keep(connection, purse, changed, at)
        for dimension, (before, after) in changed.items():
            what = changes.limit_of(purse.key, dimension)
            reason = f"{told.vendor} lists it{' (simulated)' if told.simulated else ''}"
            old, new = f"{before.declared_limit:,.0f}", f"{after.declared_limit:,.0f}"
            changes.record(connection, ACTOR, what, old, new, reason)
            found[f"{purse.key} {words(dimension)}"] = after.declared_limit
    return found


def _changed(
    connection: Connection, purse: Purse, said: dict[Dimension, float]
) -> Iterator[tuple[Dimension, tuple[Learned, Learned]]]:
    rows: dict[Dimension, Any] = {
        Dimension(row.dimension): row
        for row in connection.execute(select(budget_level).where(budget_level.c.key == purse.key))
    }
    for dimension in sorted(said.keys() & rows.keys()):
        before = purses.learned_of(rows[dimension], purse.buckets[dimension])
        by_hand = _set_by_hand(connection, changes.limit_of(purse.key, dimension))
        after = declared(dimension, before, said[dimension], by_hand)
        if after.declared_limit != before.declared_limit:
            yield dimension, (before, after)


def _set_by_hand(connection: Connection, what: str) -> bool:
    by_hand = exists().where(setting_change.c.what == what, setting_change.c.actor != ACTOR)
    return bool(connection.execute(select(by_hand)).scalar())


def _keep(
    connection: Connection, purse: Purse, changed: dict[Dimension, tuple[Learned, Learned]], at: float
) -> None:
    """The levels are first brought up to now: the time since then was refilled at the old rate."""
    if not changed:
        return
    after = {dimension: learned for dimension, (_, learned) in changed.items()}
    buckets = {**purse.buckets, **{dimension: learned.bucket for dimension, learned in after.items()}}
    purses.write_levels(connection, {purse.key: replace(purse, buckets=buckets)}, at)
    rows = [
        {
            "_key": purse.key,
            "_dimension": dimension,
            "_declared_limit": learned.declared_limit,
            "_limit": learned.limit,
        }
        for dimension, learned in after.items()
    ]
    connection.execute(_DECLARE, rows)
