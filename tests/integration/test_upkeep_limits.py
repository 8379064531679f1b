"""Limits as vendors list them: asked where somebody has the key, and taken over into the budgets."""

import pytest

from contracts.account_limits import AccountLimits, Allowed
from contracts.failures import Code
from contracts.limits import Dimension
from orchestrator.door import WorkerCard
from orchestrator.ledger import tables
from orchestrator.tuning import set_limit
from orchestrator.upkeep.ticker import Ticker
from tests.integration.small_fleet import Deed, SmallFleet, age, delivers, fails, insert_rows

HAIKU, SONNET = "anthropic/default/haiku", "anthropic/default/sonnet"
HAIKU_MODEL, SONNET_MODEL = "claude-haiku-5-5", "claude-sonnet-5-5"
READ = "read[1]"


def lists(*allowed: tuple[str, Dimension, float], account: str = "default", refused: str = "") -> Deed:
    told = tuple(
        Allowed(models=(model, f"{model}-latest"), dimension=dimension, value=value)
        for model, dimension, value in allowed
    )
    return delivers(
        AccountLimits(vendor="anthropic", account=account, simulated=True, allowed=told, refused=refused)
    )


def stand(fleet: SmallFleet, *reads: str, seconds: float = 3600.0) -> None:
    """A worker of all lanes that has stood for so long, and can read these accounts' limits."""
    fleet.hands.reads_limits = reads
    fleet.hands.announce(tuple(fleet.catalog.lanes))
    age(fleet.ledger, tables.worker, fleet.hands.name, started_at=seconds)


def look(fleet: SmallFleet, slot: float = 0.0) -> int:
    """One firing of the clock; how many jobs came of it."""
    insert_rows(fleet.ledger, tables.tick, {"name": "limits", "slot": slot, "seen_at": slot})
    return Ticker(fleet.ledger, fleet.catalog, fleet.intake, {}).run()


def read_once(fleet: SmallFleet, *deeds: Deed) -> str:
    """A reading from the clock to the budgets; what came of it."""
    stand(fleet, "anthropic/default")
    fleet.hands.will(READ, *deeds)
    assert look(fleet) == 1
    fleet.run()
    (job,) = fleet.rows(tables.job, workflow="limits")
    assert (job.state, job.purpose) == ("done", "maintenance")
    text: str = job.result["text"]
    return text


def limit(fleet: SmallFleet, key: str, dimension: Dimension) -> tuple[float, float]:
    """Declared and learned."""
    row = fleet.row(tables.budget_level, key=key, dimension=dimension)
    return row.declared_limit, row.limit


def test_where_nobody_has_the_key_no_job_is_made(fleet: SmallFleet) -> None:
    stand(fleet)
    assert look(fleet) == 0
    assert fleet.row(tables.tick).outcome == "nothing to do"
    assert fleet.rows(tables.job) == []


def test_an_account_without_a_budget_is_not_asked_about(fleet: SmallFleet) -> None:
    stand(fleet, "anthropic/unheard-of", "openai/other")
    assert look(fleet) == 0


def test_only_what_every_worker_of_the_lane_can_read_is_asked(fleet: SmallFleet) -> None:
    stand(fleet, "anthropic/default")
    for name, lanes in (("keyless", ("limits", "draft")), ("elsewhere", ("draft",))):
        fleet.door.announce(WorkerCard(name, lanes, (), 4, "1"))
        age(fleet.ledger, tables.worker, name, started_at=3600.0)
    assert look(fleet) == 0
    fleet.door.leave("keyless")
    assert look(fleet, slot=900.0) == 1


def test_a_fleet_that_is_still_starting_is_left_alone(fleet: SmallFleet) -> None:
    stand(fleet, "anthropic/default", seconds=60.0)
    assert look(fleet) == 0
    age(fleet.ledger, tables.worker, fleet.hands.name, started_at=61.0)
    assert look(fleet, slot=900.0) == 1


def test_a_silent_worker_reads_nothing(fleet: SmallFleet) -> None:
    stand(fleet, "anthropic/default")
    age(fleet.ledger, tables.worker, fleet.hands.name, beat_at=60.0)
    assert look(fleet) == 0


def test_what_was_read_lately_is_read_again_after_some_hours(fleet: SmallFleet) -> None:
    read_once(fleet, lists())
    assert look(fleet, slot=900.0) == 0
    stand(fleet, "anthropic/default")
    (tick,) = fleet.rows(tables.tick, slot=0.0)
    with fleet.ledger.write() as connection:
        earlier = {"looked_at": tick.looked_at - 6 * 3600 - 1}
        connection.execute(tables.tick.update().where(tables.tick.c.slot == 0.0).values(earlier))
    assert look(fleet, slot=1800.0) == 1


def test_a_lower_limit_is_taken_written_down_and_paced_by(fleet: SmallFleet) -> None:
    said = read_once(fleet, lists((HAIKU_MODEL, Dimension.REQUESTS, 2)))
    fleet.assert_budgets = False

    assert said == "1 limit(s) were changed; anthropic/default (simulated): 1 limit(s) are told"
    assert limit(fleet, HAIKU, Dimension.REQUESTS) == (2, 2)
    assert limit(fleet, SONNET, Dimension.REQUESTS) == (1000, 1000)
    assert fleet.levels(HAIKU)["requests"] == 1.0, "half of the vendor's burst of one minute, two a minute"
    (change,) = fleet.rows(tables.setting_change)
    assert (change.actor, change.what, change.old, change.new) == (
        "upkeep",
        f"requests of {HAIKU}",
        "1,000",
        "2",
    )
    assert change.reason == "anthropic lists it (simulated)"
    job = fleet.submit("summary", documents=3)
    fleet.turn()
    states = [state for name, state in fleet.states(job).items() if name.startswith("research")]
    assert sorted(states) == ["dispatched", "ready", "ready"]


def test_a_higher_limit_is_declared_at_once_and_climbed_to(fleet: SmallFleet) -> None:
    read_once(fleet, lists((SONNET_MODEL, Dimension.OUTPUT_TOKENS, 400_000)))
    assert limit(fleet, SONNET, Dimension.OUTPUT_TOKENS) == (400_000, 90_000)


def test_what_is_listed_as_declared_changes_nothing(fleet: SmallFleet) -> None:
    said = read_once(fleet, lists((SONNET_MODEL, Dimension.REQUESTS, 1000)))
    assert said.startswith("0 limit(s) were changed")
    assert fleet.rows(tables.setting_change) == []


def test_what_nobody_paces_by_is_left_alone(fleet: SmallFleet) -> None:
    read_once(fleet, lists(("claude-other", Dimension.REQUESTS, 1), (HAIKU_MODEL, Dimension.TOKENS, 1)))
    assert fleet.rows(tables.setting_change) == []


@pytest.mark.parametrize(("listed", "declared"), [(900, 500), (100, 100)])
def test_an_operators_limit_is_lowered_and_never_raised(
    fleet: SmallFleet, listed: float, declared: float
) -> None:
    set_limit(fleet.ledger, HAIKU, Dimension.REQUESTS, 500, "bob", "others use the account")
    fleet.assert_budgets = False
    read_once(fleet, lists((HAIKU_MODEL, Dimension.REQUESTS, listed)))
    assert limit(fleet, HAIKU, Dimension.REQUESTS)[0] == declared


def test_a_limit_that_a_list_lowered_is_raised_by_the_next(fleet: SmallFleet) -> None:
    fleet.hands.will(READ, lists((HAIKU_MODEL, Dimension.REQUESTS, 100)))
    stand(fleet, "anthropic/default")
    assert look(fleet) == 1
    fleet.run()
    with fleet.ledger.write() as connection:
        connection.execute(tables.tick.update().values(looked_at=0.0))
    fleet.hands.will(READ, lists((HAIKU_MODEL, Dimension.REQUESTS, 300)))
    stand(fleet, "anthropic/default")
    assert look(fleet, slot=900.0) == 1
    fleet.run()
    fleet.assert_budgets = False
    assert limit(fleet, HAIKU, Dimension.REQUESTS) == (300, 100)


def test_a_refused_key_is_a_finding_and_nothing_is_tried_again(fleet: SmallFleet) -> None:
    said = read_once(fleet, lists(refused="its key does not allow to read limits"))
    assert "anthropic/default (simulated): its key does not allow to read limits" in said
    assert len(fleet.rows(tables.attempt, lane="limits")) == 1
    assert fleet.rows(tables.setting_change) == fleet.rows(tables.dead_letter) == []
    assert fleet.budget(HAIKU).closed_until is None


def test_a_vendor_that_fails_is_asked_again(fleet: SmallFleet) -> None:
    overloaded = fails(Code.OVERLOADED, retry_after=0.0)
    read_once(fleet, overloaded, lists((HAIKU_MODEL, Dimension.REQUESTS, 1001)))
    assert limit(fleet, HAIKU, Dimension.REQUESTS)[0] == 1001


def test_groups_that_share_a_limit_of_their_vendor_are_named(fleet: SmallFleet) -> None:
    both = Allowed(models=(HAIKU_MODEL, SONNET_MODEL), dimension=Dimension.REQUESTS, value=1000)
    told = AccountLimits(vendor="anthropic", account="default", simulated=True, allowed=(both,))
    said = read_once(fleet, delivers(told))
    assert said.endswith("; haiku and sonnet share one limit of their vendor and should be one group")
