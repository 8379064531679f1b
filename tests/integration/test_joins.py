"""Joins as they run: the first that delivers is enough, and what stands by takes a failed branch's place."""

from pathlib import Path
from typing import Any

import pytest

from contracts.failures import Code
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.ledgers import ledger, migrated_file, migrated_schema
from tests.integration.small_fleet import CATALOG, SmallFleet, assert_story_holds, fails

__all__ = ["ledger", "migrated_file", "migrated_schema"]

DO: dict[str, Any] = {
    "lane": "noop",
    "ask": "Do nothing.",
    "success": ["done"],
    "trouble": {"loop": "dead", "cut": "dead", "fail": "dead"},
}


def fleet_of(ledger: Ledger, tmp_path: Path, need: Any, **branch: Any) -> SmallFleet:
    """A fleet whose `fan` has branches over the items, one that stands by for each, and a step that joins them."""
    steps = {
        "branch": DO | {"for_each": "inputs.items"} | branch,
        "close": DO | {"needs": {"branch": need}},
    }
    if branch:
        steps["spare"] = DO | {"for_each": "inputs.items", "standby": True}
    shipped = load_catalog(CATALOG)
    fan = Workflow.model_validate(
        shipped.workflows["fan"].model_dump(mode="json") | {"steps": steps, "result": "close"}
    )
    return SmallFleet(
        ledger, tmp_path, shipped.model_copy(update={"workflows": shipped.workflows | {"fan": fan}})
    )


@pytest.mark.parametrize(("need", "missing"), [("any", 2), ({"quorum": 2}, 1)])
def test_enough_branches_start_the_join_and_the_rest_is_cancelled(
    ledger: Ledger, tmp_path: Path, need: Any, missing: int
) -> None:
    fleet = fleet_of(ledger, tmp_path, need)
    job_id = fleet.submit("fan", documents=3)
    fleet.turn()
    first, second, third = fleet.hands.doorbells()
    for bell in (first, second)[: 3 - missing]:
        fleet.hands.do(bell.attempt_id)
    fleet.run()
    assert fleet.job(job_id).state == "done"
    (handed,) = fleet.handed("close")
    names = ", ".join(["branch[2]", "branch[3]"][-missing:])
    assert handed.subproblem == f"Do nothing. Missing, and to be named as such: {names}."
    left = [state for name, state in fleet.states(job_id).items() if name in names]
    assert left == ["cancelled"] * missing
    assert not fleet.rows(tables.dead_letter)
    assert third.attempt_id in {row.id for row in fleet.rows(tables.attempt) if row.state == "returned"}
    assert_story_holds(ledger)


def test_a_failed_branch_is_substituted_and_its_dead_letter_kept(ledger: Ledger, tmp_path: Path) -> None:
    fleet = fleet_of(
        ledger, tmp_path, "all", trouble={"loop": "dead", "cut": "dead", "fail": {"substitute": "spare"}}
    )
    job_id = fleet.submit("fan", documents=2)
    fleet.hands.will("branch[2]", fails(Code.NO_EVIDENCE, "nothing stands there"))
    fleet.run()
    assert fleet.job(job_id).state == "done"
    assert fleet.states(job_id) == {
        "branch[1]": "done",
        "branch[2]": "dead",
        "close": "done",
        "spare[1]": "skipped",
        "spare[2]": "done",
    }
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "no_evidence"
    assert_story_holds(ledger)


def test_where_the_substitute_fails_as_well_the_job_fails_by_it(ledger: Ledger, tmp_path: Path) -> None:
    fleet = fleet_of(
        ledger, tmp_path, "all", trouble={"loop": "dead", "cut": "dead", "fail": {"substitute": "spare"}}
    )
    job_id = fleet.submit("fan")
    fleet.hands.will("branch[1]", fails(Code.NO_EVIDENCE, "nothing stands there"))
    fleet.hands.will("spare[1]", fails(Code.REFUSED, "it will not"))
    fleet.run()
    job = fleet.job(job_id)
    assert job.state == "failed"
    assert job.why.startswith("spare[1]: refused: it will not")
    assert_story_holds(ledger)
