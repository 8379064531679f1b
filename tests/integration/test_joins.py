"""Joins as they run: the first that delivers is enough, and what stands by takes a failed branch's place."""

from pathlib import Path
from typing import Any

import pytest

from contracts.failures import Code
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from tests.integration.small_fleet import CATALOG, SmallFleet, assert_story_holds, fails

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


@pytest.mark.parametrize("need", ["all", "best_effort"])
def test_all_of_nothing_is_delivered(ledger: Ledger, tmp_path: Path, need: Any) -> None:
    fleet = fleet_of(ledger, tmp_path, need)
    job_id = over_nothing(fleet)
    assert fleet.job(job_id).state == "done"
    assert fleet.states(job_id) == {"close": "done"}
    assert_story_holds(ledger)


def test_the_first_of_nothing_never_comes(ledger: Ledger, tmp_path: Path) -> None:
    fleet = fleet_of(ledger, tmp_path, "any")
    job = fleet.job(over_nothing(fleet))
    assert (job.state, job.why) == (
        "failed",
        "close: needs 1 of branch, and there is none: its list is empty",
    )
    assert_story_holds(ledger)


@pytest.mark.parametrize("alone", [False, True])
def test_a_result_over_an_empty_list_is_done_with_nothing(
    ledger: Ledger, tmp_path: Path, alone: bool
) -> None:
    """Also where there is no step at all beside it."""
    fleet = fleet_of(ledger, tmp_path, "all")
    fan = fleet.catalog.workflows["fan"]
    steps = {"branch": fan.steps["branch"]} if alone else fan.steps
    fleet.catalog.workflows["fan"] = fan.model_copy(update={"steps": steps, "result": "branch"})
    job = fleet.job(over_nothing(fleet))
    assert (job.state, job.result) == ("done", None)
    assert job.why == "nothing was to be done: branch is mapped over an empty list"
    assert_story_holds(ledger)


def over_nothing(fleet: SmallFleet) -> str:
    """A job of `fan` whose contract lets its list be empty, run to its end."""
    fan = fleet.catalog.workflows["fan"]
    steps = {
        name: step.model_copy(update={"for_each": "inputs.subjects"}) if step.for_each else step
        for name, step in fan.steps.items()
    }
    changed = {"inputs": "upkeep.Inputs@1", "steps": steps}
    fleet.catalog.workflows["fan"] = fan.model_copy(update=changed)
    job_id = fleet.submit("fan", inputs={"tick": "none", "slot": "0", "subjects": []})
    fleet.run()
    return job_id
