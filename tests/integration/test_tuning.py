"""Limits, floors and weights that operators set while the fleet runs: the next grant honours them."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from contracts.catalog import Catalog
from contracts.vendors import Limits
from orchestrator import purses
from orchestrator.cli.app import app
from orchestrator.cli.ending import run as run_here
from orchestrator.client import FleetClient, FleetError
from orchestrator.ledger import tables
from orchestrator.ledger.clock import now
from orchestrator.problems import Problem
from orchestrator.reads.budgets import BudgetRead, Dimension
from orchestrator.sharing import FloorKind, set_floor
from tests.integration.ledgers import problem_of, rows_of
from tests.integration.small_fleet import SmallFleet
from tests.integration.test_dispatch import HAIKU

DAILY = "google/default/flash"
ADA = {"by": "ada", "reason": "the tier changed"}


@pytest.fixture
def catalog(bench_catalog: Catalog) -> Catalog:
    """Of the API, the same as the fleet's."""
    return bench_catalog


@pytest.fixture
def operator(fleet: SmallFleet, api: str) -> Iterator[FleetClient]:
    """Who changes the settings of a running fleet."""
    fleet.assert_budgets = False
    with FleetClient(api) as client:
        yield client


def budget(operator: FleetClient, key: str = HAIKU) -> BudgetRead:
    return next(each for each in operator.budgets().items if each.key == key)


def part(read: BudgetRead, name: str) -> Dimension:
    return next(each for each in read.dimensions if each.dimension == name)


def waiting(fleet: SmallFleet, jobs: int = 6) -> None:
    for _ in range(jobs):
        fleet.submit("summary")
    fleet.plan.run()


def test_more_is_granted_after_the_calls_at_once_were_raised_and_less_after_they_were_lowered(
    fleet: SmallFleet, operator: FleetClient
) -> None:
    operator.set_limit(HAIKU, "concurrency", 1, **ADA)
    waiting(fleet)
    assert (fleet.dispatch.run(), fleet.dispatch.run()) == (1, 0)

    operator.set_limit(HAIKU, "concurrency", 3, **ADA)
    assert fleet.dispatch.run() == 2
    operator.set_limit(HAIKU, "concurrency", 2, **ADA)
    fleet.hands.do(fleet.hands.doorbells()[0].attempt_id)
    assert fleet.dispatch.run() == 0, "two are still under way"


def test_a_lowered_limit_holds_at_once_and_a_raised_one_is_filled_by_waiting(
    fleet: SmallFleet, operator: FleetClient
) -> None:
    before = part(budget(operator), "requests").level
    read = operator.set_limit(HAIKU, "requests", 4, **ADA)
    assert before > 100
    assert (part(read, "requests").level, part(read, "requests").declared) == (2.0, 4.0)
    waiting(fleet)
    assert fleet.dispatch.run() == 2, "half of what a minute allows is the most that is saved up"
    (first, *_) = [row for row in fleet.rows(tables.subtask, state="ready") if row.held_by]
    assert first.held_by == f"{HAIKU}: requests"

    raised = operator.set_limit(HAIKU, "requests", 60_000, **ADA)
    assert part(raised, "requests").level < 1000, "no level rises but by time"
    assert part(raised, "requests").full == 30_000
    fleet.set_budget(HAIKU, refilled_at=fleet.budget(HAIKU).refilled_at - 1.0)
    assert fleet.dispatch.run() == 4


def test_time_that_passed_before_is_refilled_at_the_rate_that_held_then(
    fleet: SmallFleet, operator: FleetClient
) -> None:
    fleet.set_level(HAIKU, "requests", level=0.0, limit=60.0, declared_limit=60.0)
    fleet.set_budget(HAIKU, refilled_at=fleet.budget(HAIKU).refilled_at - 10.0)
    read = operator.set_limit(HAIKU, "requests", 600_000, **ADA)
    at_once = fleet.levels(HAIKU)["requests"]
    assert 10.0 <= at_once < 30.0
    assert part(read, "requests").full == 300_000


def test_what_was_learned_of_a_limit_is_forgotten_when_an_operator_says_another(
    fleet: SmallFleet, operator: FleetClient
) -> None:
    fleet.set_level(HAIKU, "requests", limit=200.0, burst_seconds=4.0, seen_limit=200.0, seen_at=1.0)
    read = operator.set_limit(HAIKU, "requests", 500, **ADA)
    requests = part(read, "requests")
    assert (requests.limit, requests.declared, requests.seen_limit) == (500.0, 500.0, None)
    assert (requests.burst_seconds, requests.declared_burst_seconds) == (4.0, 60.0)

    read = operator.set_limit(HAIKU, "burst_seconds", 30, **ADA)
    assert {each.burst_seconds for each in read.dimensions if each.dimension != "concurrency"} == {30.0}
    assert part(read, "requests").full == 500 / 60 * 30 / 2
    changes = operator.setting_changes().items
    assert [(each.what, each.old, each.new) for each in changes] == [
        (f"burst_seconds of {HAIKU}", "60 or 60 (learned: 4)", "30"),
        (f"requests of {HAIKU}", "1,000 (learned: 200)", "500"),
    ]


def test_what_is_used_of_a_day_stays_used(fleet: SmallFleet, operator: FleetClient) -> None:
    read = budget(operator, DAILY)
    day = part(read, "requests_per_day")
    fleet.set_level(DAILY, "requests_per_day", level=day.limit - 40.0)

    lowered = part(operator.set_limit(DAILY, "requests_per_day", 100, **ADA), "requests_per_day")
    assert (lowered.limit, lowered.level) == (100.0, 60.0)
    raised = part(operator.set_limit(DAILY, "requests_per_day", 500, **ADA), "requests_per_day")
    assert (raised.limit, raised.level) == (500.0, 60.0), "the rest of it is there with the next day"


def test_a_changed_catalog_does_not_overwrite_what_was_set(fleet: SmallFleet, operator: FleetClient) -> None:
    operator.set_limit(HAIKU, "requests", 77, **ADA)
    operator.set_limit(HAIKU, "concurrency", 5, **ADA)
    anthropic = fleet.catalog.vendors["anthropic"]
    limits = Limits(requests_per_minute=9, input_tokens_per_minute=9, concurrency=9)
    haiku = anthropic.groups["haiku"].model_copy(update={"limits": limits})
    changed = anthropic.model_copy(update={"groups": anthropic.groups | {"haiku": haiku}})
    later = fleet.catalog.model_copy(update={"vendors": fleet.catalog.vendors | {"anthropic": changed}})
    with fleet.ledger.write() as connection:
        purses.seed(connection, later, now(connection))

    read = budget(operator)
    assert (part(read, "requests").limit, part(read, "concurrency").limit) == (77.0, 5.0)


def test_a_closed_account_is_opened_again_and_its_vendors_overload_is_remembered(
    fleet: SmallFleet, operator: FleetClient
) -> None:
    memory = {"ceiling": {"allowed": 1.0, "known_good": 8.0, "phase": "probing"}}
    until = fleet.budget(HAIKU).refilled_at + 600
    fleet.set_budget(HAIKU, closed_until=until, closed_why="money or credit has run out", memory=memory)
    waiting(fleet)
    assert fleet.dispatch.run() == 0

    read = operator.open_account(HAIKU, "ada", "credit was added")
    assert (read.closed_until, read.closed_why, read.ceiling) == (None, "", "probing")
    assert fleet.dispatch.run() == 1, "one call goes ahead of the rest"
    (change,) = operator.setting_changes().items
    assert (change.by, change.what, change.new) == ("ada", f"closing of {HAIKU}", "open")
    moment = datetime.fromtimestamp(until, UTC)
    assert change.old == f"until {moment:%Y-%m-%d %H:%M:%S} UTC: money or credit has run out"
    with pytest.raises(FleetError, match=f"{HAIKU} is open already"):
        operator.open_account(HAIKU, "ada", "once more")


def granted_to(fleet: SmallFleet, column: str, most: int) -> Counter[str]:
    """What the next grants go to, where only so many calls are allowed at once."""
    assert fleet.dispatch.run() == most
    of = {row.id: getattr(row, column) for row in fleet.rows(tables.subtask)}
    return Counter(of[row.subtask_id] for row in fleet.rows(tables.attempt))


@pytest.mark.parametrize(("fraction", "share"), [(0.0, 0), (0.5, 5)])
def test_a_floor_that_was_set_holds_for_the_next_grants(
    fleet: SmallFleet, operator: FleetClient, fraction: float, share: int
) -> None:
    """Rework has no floor of its own as shipped; all the others' are taken away."""
    for name in ("feature", "maintenance", "review"):
        operator.set_floor("purpose", name, 0.0, **ADA)
    operator.set_floor("priority", "urgent", 0.0, **ADA)
    operator.set_limit(HAIKU, "concurrency", 10, **ADA)
    for _ in range(12):
        fleet.submit("summary", priority=2)
        fleet.submit("summary", purpose="maintenance", priority=0)
    fleet.plan.run()

    floors = operator.set_floor("purpose", "maintenance", fraction, **ADA).floors
    assert [each.fraction for each in floors] == ([fraction] if fraction else [])
    assert granted_to(fleet, "purpose", 10)["maintenance"] == pytest.approx(share, abs=1)


@pytest.mark.parametrize(("weight", "share"), [(1.0, 5), (4.0, 8)])
def test_a_weight_that_was_set_holds_for_the_next_grants(
    fleet: SmallFleet, operator: FleetClient, weight: float, share: int
) -> None:
    operator.set_limit(HAIKU, "concurrency", 10, **ADA)
    for _ in range(12):
        fleet.submit("summary", tenant="acme")
        fleet.submit("summary", tenant="globex")
    fleet.plan.run()

    (read,) = operator.set_weight("acme", weight, **ADA).weights
    assert (read.tenant, read.weight) == ("acme", weight)
    assert granted_to(fleet, "tenant", 10)["acme"] == pytest.approx(share, abs=1)


LIMIT = {"key": HAIKU, "dimension": "requests", "value": 5} | ADA
FLOOR = {"kind": "purpose", "name": "review", "fraction": 0.2} | ADA
WEIGHT = {"tenant": "acme", "weight": 2} | ADA
OF_HAIKU = "it has: input_tokens, output_tokens, requests, concurrency, burst_seconds"

REFUSED: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "zero": ("limits", LIMIT | {"value": 0}, 422, "value: input should be greater than 0"),
    "below zero": ("limits", LIMIT | {"value": -3}, 422, "value: input should be greater than 0"),
    "too much": ("limits", LIMIT | {"value": 1e300}, 422, "requests lies above 0 and at most at 1,000,000"),
    "half a call": (
        "limits",
        LIMIT | {"dimension": "concurrency", "value": 1.5},
        422,
        "concurrency is a whole number of calls, and this is 1.5",
    ),
    "unknown budget": ("limits", LIMIT | {"key": "anthropic/haiku"}, 404, f"known are: {HAIKU}, anthropic/"),
    "unknown dimension": ("limits", LIMIT | {"dimension": "tokens"}, 422, OF_HAIKU),
    "nobody": ("limits", LIMIT | {"by": " "}, 422, "by: string should have at least 1 character"),
    "no reason": ("limits", LIMIT | {"reason": ""}, 422, "reason: string should have at least 3 characters"),
    "unknown to open": ("open", {"key": "acme"} | ADA, 404, f"no budget “acme”; known are: {HAIKU}"),
    "open already": ("open", {"key": HAIKU} | ADA, 409, f"{HAIKU} is open already"),
    "floors above one": (
        "floors",
        FLOOR | {"fraction": 0.5},
        422,
        "the floors of purposes add up to 1.1 (feature 0.5 + maintenance 0.1 + review 0.5)",
    ),
    "floor below zero": ("floors", FLOOR | {"fraction": -0.1}, 422, "fraction: input should be greater"),
    "unknown kind": ("floors", FLOOR | {"kind": "tenant"}, 422, "'purpose', 'lane' or 'priority'"),
    "unknown purpose": ("floors", FLOOR | {"name": "fun"}, 422, "no purpose “fun”; known are: coordination,"),
    "unknown lane": ("floors", FLOOR | {"kind": "lane", "name": "x"}, 422, "no lane “x”; known are: audit,"),
    "unknown priority": ("floors", FLOOR | {"kind": "priority"}, 422, "known are: urgent"),
    "weightless": ("weights", WEIGHT | {"weight": 0}, 422, "weight: input should be greater than 0"),
    "odd tenant": ("weights", WEIGHT | {"tenant": "A b"}, 422, "tenant: a name has lower-case letters"),
}


def test_what_cannot_be_is_one_sentence_and_changes_nothing(fleet: SmallFleet, http: httpx2.Client) -> None:
    settings = (tables.budget, tables.budget_level, tables.share, tables.setting_change)
    before = [rows_of(fleet.ledger, table) for table in settings]
    for name, (path, body, status, sentence) in REFUSED.items():
        method = "POST" if path == "open" else "PUT"
        said = problem_of(http.request(method, f"/v1/budgets/{path}", json=body), status)
        assert sentence in said, name
    for number in ("NaN", "Infinity"):
        body = json.dumps(LIMIT).replace(": 5", f": {number}")
        problem_of(http.put("/v1/budgets/limits", content=body), 422)
    assert [rows_of(fleet.ledger, table) for table in settings] == before


def test_floors_that_are_set_at_the_same_moment_are_checked_together(fleet: SmallFleet) -> None:
    def set_to_most(name: str) -> bool:
        try:
            set_floor(fleet.ledger, fleet.catalog, FloorKind.PURPOSE, name, 0.3, **ADA)
        except Problem as problem:
            assert "add up to 1.3" in str(problem)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        stood = list(pool.map(set_to_most, ("coordination", "rework", "coordination", "rework")))
    assert len(fleet.rows(tables.share)) == 1, "shipped floors take 0.7, so one of them fits"
    assert stood.count(True) == len(fleet.rows(tables.setting_change)) == 2


def test_changes_are_paged_the_latest_first(fleet: SmallFleet, operator: FleetClient) -> None:
    for value in (10, 20, 30):
        operator.set_limit(HAIKU, "requests", value, **ADA)
    first = operator.setting_changes(limit=2)
    rest = operator.setting_changes(limit=2, cursor=first.next_cursor)
    assert [each.new for each in (*first.items, *rest.items)] == ["30", "20", "10"]
    assert (first.items[0].by, first.items[0].reason) == ("ada", "the tier changed")
    assert rest.next_cursor is None


class Terminal:
    """The command line, against the API."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self, *arguments: str, code: int = 0) -> str:
        assert run_here(app, ("budgets", *arguments)) == code
        said = self._captured.readouterr()
        if code:
            assert said.out == "" and said.err.count("\n") == 1
        return said.err if code else said.out


@pytest.fixture
def terminal(
    fleet: SmallFleet, api: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Terminal:
    fleet.assert_budgets = False
    monkeypatch.setenv("FLEET_API_URL", api)
    return Terminal(capfd)


BECAUSE = ("--reason", "the tier changed", "--by", "ada")


def test_the_commands_set_and_list(fleet: SmallFleet, terminal: Terminal) -> None:
    assert "77" in terminal("set", HAIKU, "requests", "77", *BECAUSE)
    assert json.loads(terminal("set", HAIKU, "concurrency", "3", *BECAUSE, "--json"))["key"] == HAIKU
    fleet.set_budget(HAIKU, closed_until=9e9, closed_why="money or credit has run out")
    fleet.set_level(HAIKU, "requests", limit=60.0, seen_limit=60.0, seen_remaining=12.0, seen_at=1.0)
    listed = terminal()
    assert "closed for " in listed and "money or credit has run out" in listed
    assert "declared 77; 12 left of 60 said " in listed
    assert "floors by purpose" in listed and "every tenant 1" in listed
    assert "open" in terminal("open", HAIKU, *BECAUSE)
    assert "research 0.25" in terminal("floor", "lane", "research", "0.25", *BECAUSE)
    assert "acme 2, every other tenant 1" in terminal("weight", "acme", "2", *BECAUSE)

    first = json.loads(terminal("changes", "--json", "--limit", "2"))
    assert [each["what"] for each in first["items"]] == ["weight of tenant acme", "floor of lane research"]
    assert "money or credit" in terminal("changes", "--limit", "2", "--cursor", first["next_cursor"])
    whole = json.loads(terminal("--json"))
    assert set(whole) == {"items", "next_cursor", "shares", "caps"}


def test_what_the_commands_cannot_do_is_one_sentence(fleet: SmallFleet, terminal: Terminal) -> None:
    assert "value: input should be greater than 0" in terminal(
        "set", HAIKU, "requests", "-5", *BECAUSE, code=1
    )
    assert "“nan” is no number" in terminal("set", HAIKU, "requests", "nan", *BECAUSE, code=2)
    assert "“much” is no number" in terminal("weight", "acme", "much", *BECAUSE, code=2)
    assert "“nan” is no number" in terminal("cap", "fleet", "--usd", "nan", *BECAUSE, code=2)
    assert "known are: anthropic/" in terminal("set", "haiku", "requests", "5", *BECAUSE, code=1)
    assert OF_HAIKU in terminal("set", HAIKU, "request", "5", *BECAUSE, code=1)
    assert "add up to 1.1" in terminal("floor", "purpose", "review", "0.5", *BECAUSE, code=1)
    assert "'--reason'" in terminal("floor", "purpose", "review", "0.2", code=2)
    assert "by: " in terminal("set", HAIKU, "requests", "5", "--reason", "so it is", "--by", "", code=1)
    assert terminal("changes") == "no changes\n"
