"""The figures stay cheap and never run backwards."""

from prometheus_client import CollectorRegistry

from contracts.catalog import Catalog
from contracts.vendors import Vendor
from orchestrator import purses
from orchestrator.ledger.clock import now
from orchestrator.ledger.engine import Ledger
from orchestrator.reads.figures.collector import REST_FACTOR, LedgerFigures
from orchestrator.telemetry import Metric
from tests.integration.ledgers import Rows

DONE = {"workflow": "brief", "purpose": "feature", "outcome": "done"}


class Ticking:
    """A clock on which every look takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_counting_rests_after_it_was_done_and_what_stands_is_read_anew(
    ledger: Ledger, catalog: Catalog, rows: Rows
) -> None:
    clock, registry = Ticking(), CollectorRegistry()
    registry.register(LedgerFigures(ledger, catalog, clock))
    rows.job(state="done", ended_at=rows.at)
    assert registry.get_sample_value("fleet_jobs_total", DONE) == 1

    rows.job(state="done", ended_at=rows.at)
    rows.subtask(rows.job(), "draft")
    assert registry.get_sample_value("fleet_jobs_total", DONE) == 1
    assert registry.get_sample_value("fleet_ready", {"lane": "draft"}) == 1

    clock.now += REST_FACTOR
    assert registry.get_sample_value("fleet_jobs_total", DONE) == 2


def test_an_empty_ledger_has_figures_too(ledger: Ledger, catalog: Catalog) -> None:
    registry = CollectorRegistry()
    registry.register(LedgerFigures(ledger, catalog, tells_leader=True))

    assert registry.get_sample_value("fleet_orchestrator_leader") == 0
    assert registry.get_sample_value("fleet_approvals_waiting") == 0
    assert registry.get_sample_value("fleet_autonomy_tax_ratio", {"unit": "usd"}) == 0
    assert registry.get_sample_value("fleet_escalation_drill_age_seconds") is None


def test_beside_the_loops_own_figures_none_stands_twice(ledger: Ledger, catalog: Catalog) -> None:
    theirs = {family.name for family in LedgerFigures(ledger, catalog).collect()}

    assert not theirs & {str(metric) for metric in Metric}


def test_what_the_catalog_no_longer_names_is_neither_allowed_nor_closed(
    ledger: Ledger, catalog: Catalog
) -> None:
    def seed(vendors: dict[str, Vendor]) -> None:
        with ledger.write() as connection:
            purses.seed(connection, catalog.model_copy(update={"vendors": vendors}), now(connection))

    def of(name: str, group: str, dimension: str) -> float | None:
        labels = {"vendor": "anthropic", "group": group, "dimension": dimension}
        return registry.get_sample_value(name, labels)

    registry = CollectorRegistry()
    registry.register(LedgerFigures(ledger, catalog))
    anthropic = catalog.vendors["anthropic"]
    two = anthropic.model_copy(update={"accounts": ("default", "second")})
    seed({"anthropic": two})
    assert of("fleet_budget_closed_until_seconds", "opus", "all") == 0
    both = of("fleet_budget_limit", "haiku", "requests")

    groups = {name: group for name, group in anthropic.groups.items() if name != "opus"}
    seed({"anthropic": anthropic.model_copy(update={"groups": groups})})
    assert of("fleet_budget_closed_until_seconds", "opus", "all") is None
    assert of("fleet_budget_limit", "opus", "requests") is None
    assert of("fleet_budget_closed_until_seconds", "haiku", "all") == 0
    assert both and of("fleet_budget_limit", "haiku", "requests") == both / 2

    seed({"anthropic": two})
    assert of("fleet_budget_closed_until_seconds", "opus", "all") == 0


def test_more_tenants_and_workers_make_no_more_series(ledger: Ledger, catalog: Catalog, rows: Rows) -> None:
    def work(number: int) -> None:
        job_id = rows.job(tenant=f"tenant-{number}", state="done", ended_at=rows.at)
        subtask_id = rows.subtask(job_id, "draft", "done", tenant=f"tenant-{number}", ended_at=rows.at)
        rows.attempt(job_id, subtask_id, worker=f"pod-{number}/{number}", ended_at=rows.at, input_tokens=5)

    def series() -> int:
        return sum(len(family.samples) for family in LedgerFigures(ledger, catalog).collect())

    work(0)
    before = series()
    for number in range(1, 30):
        work(number)
    assert series() == before
