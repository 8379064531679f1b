"""Ladders: what is changed, one thing after the other, when more of the same would not help."""

import re
from pathlib import Path
from typing import Any

import pytest

from contracts.catalog import Catalog
from contracts.failures import Code
from contracts.lanes import Lane, Rung
from orchestrator.deciders import fitting
from orchestrator.ledger import tables
from orchestrator.ledger.engine import Ledger
from orchestrator.problems import Forbidden
from tests.integration.small_fleet import SmallFleet, age, assert_story_holds, fails

NO_JSON = fails(Code.NOT_JSON, "no JSON at all")
UNSURE = fails(Code.NO_EVIDENCE, "no claim says so")


def fleet_with(ledger: Ledger, folder: Path, catalog: Catalog, *rungs: Rung, **lanes: Lane) -> SmallFleet:
    """A fleet whose authors have this ladder."""
    draft = catalog.lanes["draft"].model_copy(update={"ladder": rungs})
    changed = catalog.model_copy(update={"lanes": catalog.lanes | {"draft": draft} | lanes})
    return SmallFleet(ledger, folder, changed)


def of(catalog: Catalog, lane: str) -> Any:
    """The model of another lane, as a rung names it."""
    model = catalog.lanes[lane].model
    assert model is not None
    return model


def whys(fleet: SmallFleet, job_id: str, name: str) -> list[str]:
    """What the events say of a subtask's failures."""
    subtask = fleet.subtask(job_id, name)
    rows = fleet.rows(tables.event, kind="subtask_moved", subtask_id=subtask.id)
    return [row.sentence for row in rows if row.old == "reported" and row.new != "done"]


def test_the_shipped_author_climbs_from_a_narrower_task_to_another_model(fleet: SmallFleet) -> None:
    job_id = fleet.submit("brief")
    fleet.hands.will("draft", NO_JSON, NO_JSON, NO_JSON, NO_JSON)
    fleet.run()

    first, repair, narrower, again, other = fleet.handed("draft")
    assert (first.subproblem, first.route) == (repair.subproblem, repair.route)
    assert (
        narrower.subproblem.startswith(first.subproblem) and "three short paragraphs" in narrower.subproblem
    )
    assert narrower.route == again.route == first.route
    assert other.route is not None and other.route.model == "claude-opus-5-5"
    assert "three short paragraphs" in other.subproblem, "a rung keeps what lower ones gave"
    sonnet = {"lane": "draft", "model": "anthropic/claude-sonnet-5-5", "max_output_tokens": "6000"}
    narrowed = sonnet | {"rung": "1"}
    assert [tried.parameters for tried in other.tried] == [sonnet, sonnet, narrowed, narrowed]
    assert whys(fleet, job_id, "draft") == [
        "not_json: no JSON at all (one repair, shown the fault)",
        "not_json: no JSON at all (after 1 repair(s)); rung 1 of 2, a narrower task",
        "not_json: no JSON at all (one repair, shown the fault)",
        "not_json: no JSON at all (after 1 repair(s)); rung 2 of 2, model claude-opus-5-5 of anthropic",
    ]
    draft = fleet.subtask(job_id, "draft")
    assert (draft.rung, draft.tries, draft.repairs, draft.state) == (2, 5, 0, "done")
    assert (draft.model, draft.budget, draft.vendor) == ("claude-opus-5-5", "anthropic/opus", "anthropic")
    budgets = [row.budget for row in fleet.attempts(job_id, "draft")]
    assert budgets == ["anthropic/default/sonnet"] * 4 + ["anthropic/default/opus"]
    assert fleet.job(job_id).state == "awaiting_approval"


BIG = b"x" * 10_000_000
"""An answer of which a model is shown the beginning."""


def test_of_a_large_answer_that_failed_counts_what_is_shown(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    large = fails(Code.NOT_JSON, "no JSON at all", answer=BIG)
    error = fails(Code.VENDOR_ERROR, "an HTML page", answer=BIG)
    fleet.hands.will("draft", error, large, large)
    fleet.run()
    age(fleet.ledger, tables.subtask, fleet.subtask(job_id, "draft").id, not_before=90.0)
    fleet.run()

    draft = fleet.subtask(job_id, "draft")
    assert (draft.state, draft.rung) == ("done", 1)
    assert 2000 < draft.reserve_input_tokens < 4000, (
        "twice 4,000 characters, and nothing of the vendor's page"
    )


def test_a_retry_reserves_what_it_has_grown_to(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", fails(Code.NOT_JSON, "no JSON at all", answer=BIG))
    fleet.run()
    first, repair = fleet.handed("draft")
    reserved = fleet.subtask(job_id, "draft").reserve_input_tokens
    assert reserved == fitting.input_tokens(repair) > fitting.input_tokens(first) + 1000


def test_a_retry_that_has_outgrown_its_model_ends_with_the_numbers(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    vendor = bench_catalog.vendors["anthropic"]
    group = vendor.groups["sonnet"]
    model = group.models["claude-sonnet-5-5"].model_copy(update={"context_tokens": 7000})
    small = group.model_copy(update={"models": group.models | {"claude-sonnet-5-5": model}})
    changed = vendor.model_copy(update={"groups": vendor.groups | {"sonnet": small}})
    vendors = bench_catalog.vendors | {"anthropic": changed}
    fleet = SmallFleet(ledger, tmp_path, bench_catalog.model_copy(update={"vendors": vendors}))
    fleet.submit("summary")
    fleet.hands.will("draft", fails(Code.NOT_JSON, "no JSON at all", answer=BIG))
    fleet.run()
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.code == "too_large" and len(fleet.handed("draft")) == 1
    assert re.fullmatch(
        r"not_json: no JSON at all \(one repair, shown the fault\); but with what was tried it has "
        r"about 1\d{3} tokens, and claude-sonnet-5-5 takes 1000",
        letter.sentence,
    )


def test_a_ladder_has_an_end(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", *[NO_JSON] * 50)
    fleet.run()

    assert len(fleet.attempts(job_id, "draft")) == 6, (
        "a try and a repair on the ground and on each of two rungs"
    )
    (letter,) = fleet.rows(tables.dead_letter)
    assert letter.sentence == "not_json: no JSON at all (after 1 repair(s))"


def test_on_a_rung_a_transient_failure_has_all_its_tries_again(fleet: SmallFleet) -> None:
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", UNSURE, *[fails(Code.TIMEOUT)] * 4)
    for _ in range(4):
        fleet.run()
        subtask = fleet.subtask(job_id, "draft")
        if subtask.state == "ready":
            age(fleet.ledger, tables.subtask, subtask.id, not_before=60.0)
            age(fleet.ledger, tables.budget, "anthropic/default/sonnet", closed_until=60.0)
            age(fleet.ledger, tables.budget, "anthropic/default/opus", closed_until=60.0)

    assert (len(fleet.attempts(job_id, "draft")), fleet.subtask(job_id, "draft").state) == (5, "dead")
    assert "(the last of 4 tries)" in fleet.row(tables.dead_letter).sentence


def test_a_rung_of_a_reviewers_vendor_or_without_a_price_is_passed_over(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    reviewer, auditor = of(bench_catalog, "review"), of(bench_catalog, "security")
    unpriced = of(bench_catalog, "draft").model_copy(update={"name": "claude-nobody-1"})
    vendor = bench_catalog.vendors["anthropic"]
    group = vendor.groups["sonnet"]
    models = group.models | {"claude-nobody-1": group.models["claude-sonnet-5-5"]}
    groups = vendor.groups | {"sonnet": group.model_copy(update={"models": models})}
    vendors = bench_catalog.vendors | {"anthropic": vendor.model_copy(update={"groups": groups})}
    catalog = bench_catalog.model_copy(update={"vendors": vendors})
    rungs = [Rung(model=model) for model in (reviewer, auditor, unpriced)]
    fleet = fleet_with(ledger, tmp_path, catalog, *rungs, Rung(richer=True))
    job_id = fleet.submit("brief")
    fleet.hands.will("draft", UNSURE)
    fleet.run()

    (why,) = whys(fleet, job_id, "draft")
    assert (
        "rung 1 of 4, model gpt-6.1-sol of openai, is passed over: step review must be of another vendor"
        in why
    )
    assert "rung 2 of 4, model gemini-4-argon of google, is passed over: step security must be" in why
    assert (
        "rung 3 of 4, model claude-nobody-1 of anthropic, is passed over: claude-nobody-1 of anthropic has"
        in why
    )
    assert why.endswith("; rung 4 of 4, richer context")
    assert {row.vendor for row in fleet.attempts(job_id, "draft")} == {"anthropic"}
    assert fleet.job(job_id).state == "awaiting_approval"
    assert_story_holds(ledger)


def test_where_every_rung_is_passed_over_it_ends_and_says_so(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    fleet = fleet_with(ledger, tmp_path, bench_catalog, Rung(model=of(bench_catalog, "review")))
    fleet.submit("brief")
    fleet.hands.will("draft", UNSURE)
    fleet.run()

    (letter,) = fleet.rows(tables.dead_letter)
    assert (letter.code, letter.vendor) == ("no_evidence", "anthropic")
    assert "(more of the same would not help); rung 1 of 1" in letter.sentence
    assert "is passed over: step review must be of another vendor, and is of openai" in letter.sentence


def test_a_peer_lane_does_it_with_its_own_hands_and_words(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    card = {"lane": "ghost", "instructions": "You write for others.", "ladder": (), "deadline_seconds": 77.0}
    ghost = bench_catalog.lanes["draft"].model_copy(update=card | {"model": of(bench_catalog, "review")})
    fleet = fleet_with(ledger, tmp_path, bench_catalog, Rung(lane="ghost"), ghost=ghost)
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", UNSURE, fails(Code.REFUSED, "not by this one either"))
    fleet.run()

    _, peer = fleet.handed("draft")
    assert (peer.assignment.lane, peer.role) == ("ghost", "You write for others.")
    assert peer.route is not None and peer.route.vendor == "openai"
    subtask, last = fleet.subtask(job_id, "draft"), fleet.attempts(job_id, "draft")[-1]
    assert (subtask.lane, subtask.vendor, subtask.allowed_seconds) == ("ghost", "openai", 77.0)
    assert (last.lane, last.budget) == ("ghost", "openai/default/sol")
    assert fleet.row(tables.dead_letter).lane == "ghost"


def test_a_richer_rung_gives_what_the_job_has_and_nobody_sealed(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    give = {"documents": "inputs.documents", "reviews": "review"}
    fleet = fleet_with(ledger, tmp_path, bench_catalog, Rung(richer=True, give=give))
    fleet.submit("brief", documents=2)
    fleet.hands.will("draft", UNSURE)
    fleet.run()

    first, richer = fleet.handed("draft")
    assert richer.context[: len(first.context)] == first.context
    added = richer.context[len(first.context) :]
    assert [(item.name, item.source) for item in added] == [
        ("documents", "document-1"),
        ("documents", "document-2"),
    ], "no review has delivered yet"


@pytest.mark.parametrize("state", ["done", "dead"])
def test_what_climbed_is_no_answer_to_the_question_as_it_was_first_asked(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog, state: str
) -> None:
    research = bench_catalog.lanes["research"]
    climber = research.model_copy(update={"ladder": (Rung(narrower="One claim is enough."),)})
    fleet = fleet_with(ledger, tmp_path, bench_catalog, research=climber)
    job_id = fleet.submit("brief")
    assert fleet.turn() and fleet.subtask(job_id, "research[1]").repeat_key is not None
    fleet.hands.will("research[1]", UNSURE, *([UNSURE] if state == "dead" else []))
    fleet.run()

    asked = fleet.subtask(job_id, "research[1]")
    assert (asked.state, asked.rung, asked.repeat_key) == (state, 1, None)


PERSON = Rung(human="Is this page worth one more try?")


def asked(ledger: Ledger, folder: Path, catalog: Catalog, *deeds: Any) -> tuple[SmallFleet, str]:
    """A page that nothing but a person can save, and the job that waits for them."""
    fleet = fleet_with(ledger, folder, catalog, PERSON)
    job_id = fleet.submit("summary")
    fleet.hands.will("draft", NO_JSON, NO_JSON, *deeds)
    fleet.run()
    assert fleet.job(job_id).state == "awaiting_approval"
    return fleet, job_id


def test_a_person_on_a_rung_allows_one_more_try_which_is_told_their_note(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    fleet, job_id = asked(ledger, tmp_path, bench_catalog)
    question = fleet.row(tables.approval, job_id=job_id)
    assert question.packet["question"] == "Is this page worth one more try?"
    shown = [each["sentence"] for each in question.packet["tried"]]
    assert (shown, question.packet["may_revise"]) == (["no JSON at all"] * 2, False)
    assert question.digest == question.packet["tried"][-1]["artifact"]["digest"]
    with pytest.raises(Forbidden):
        fleet.decide(job_id, "approve", by="alice")
    fleet.decide(job_id, "approve", comment="leave the table out")
    fleet.run()

    last = fleet.handed("draft")[-1].tried[-1]
    assert (last.attempt, last.sentence) == (question.id, "bob allows one more try: leave the table out")
    assert fleet.job(job_id).state == "done"
    assert_story_holds(ledger)


def test_it_is_one_try_and_an_answer_is_heard_once(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    fleet, job_id = asked(ledger, tmp_path, bench_catalog, fails(Code.VENDOR_ERROR, "not now"), NO_JSON)
    fleet.decide(job_id, "approve")
    fleet.run()
    draft = fleet.subtask(job_id, "draft")
    assert (draft.state, draft.asks, fleet.job(job_id).state) == ("ready", None, "running")
    age(fleet.ledger, tables.subtask, draft.id, not_before=60.0)
    fleet.run()

    assert fleet.subtask(job_id, "draft").state == "dead", "no repair, and nobody is asked twice"
    assert len(fleet.rows(tables.approval)) == 1
    assert_story_holds(ledger)


def test_a_person_who_rejects_it_or_says_nothing_ends_it(
    ledger: Ledger, tmp_path: Path, bench_catalog: Catalog
) -> None:
    fleet, job_id = asked(ledger, tmp_path, bench_catalog)
    other = fleet.submit("summary")
    fleet.hands.will("draft", NO_JSON, NO_JSON)
    fleet.run()
    fleet.decide(job_id, "reject", comment="let it go")
    age(fleet.ledger, tables.approval, fleet.row(tables.approval, job_id=other).id, expires_at=73 * 3600.0)
    fleet.run()

    letters = {row.job_id: (row.code, row.sentence) for row in fleet.rows(tables.dead_letter)}
    assert letters == {
        job_id: ("rejected", "rejected by bob: let it go"),
        other: ("rejected", "nobody answered in time, and silence never approves"),
    }
    assert fleet.job(job_id).state == fleet.job(other).state == "failed"
    assert_story_holds(ledger)
