"""What a replay keeps, leaves out and makes anew, over all ways in which a job can have ended."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import ArtifactRef, digest_of
from contracts.catalog import Catalog
from contracts.states import SubtaskState
from contracts.workflows import Effect, Join, Quorum, Step, Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.nodes import Delivered, Node, Planned
from orchestrator.deciders.planning import plan
from orchestrator.deciders.replaying import (
    Division,
    Source,
    Unfit,
    divide,
    edited,
    effects_anew,
    fault_of,
    room,
    same_name,
    window_of,
)
from tests.integration.small_fleet import CATALOG

DONE, DEAD, SKIPPED = SubtaskState.DONE, SubtaskState.DEAD, SubtaskState.SKIPPED
ENDS = (DONE, DEAD, SKIPPED, SubtaskState.CANCELLED)
CATALOG_OF_TODAY = load_catalog(CATALOG)
INPUTS = {"question": "What stands there?", "documents": [{"name": name} for name in ("one", "two", "three")]}


def node(catalog: Catalog, workflow: Workflow, step: str, item: int, state: SubtaskState) -> Node:
    """As the source job left it; what is done delivered what its step makes."""
    declared = workflow.steps[step]
    contract = catalog.operation(declared).output if declared.lane else "brief.Draft@1"
    output = ArtifactRef(digest=digest_of(f"{step} {item}".encode()), size_bytes=1)
    delivered = Delivered(contract, "so it is", output) if state is DONE else None
    return Node(f"{step} {item}", step, item, 1, state, delivered=delivered, why="so it ended")


def source(catalog: Catalog, workflow: Workflow, ended: dict[str, SubtaskState]) -> Source:
    """A job of three documents in which everything is done but what is named by step and item."""
    places = plan(workflow, INPUTS)
    return Source(
        [node(catalog, workflow, p.step, p.item, ended.get(f"{p.step} {p.item}", DONE)) for p in places],
        INPUTS,
    )


def names(division: Division | Unfit, part: str) -> set[str]:
    assert isinstance(division, Division), division
    chosen = getattr(division, part)
    places = chosen if part == "anew" else [place for place, _ in chosen]
    return {f"{place.step} {place.item}" for place in places}


@given(st.data())
def test_nothing_kept_stands_behind_anything_made_anew(data: st.DataObject) -> None:
    catalog, workflow = (
        CATALOG_OF_TODAY,
        CATALOG_OF_TODAY.workflows[data.draw(st.sampled_from(("brief", "summary")))],
    )
    places = [f"{p.step} {p.item}" for p in plan(workflow, INPUTS)]
    ended = data.draw(st.dictionaries(st.sampled_from(places), st.sampled_from(ENDS)))
    given_ = source(catalog, workflow, ended)
    delivered = [name for name in places if ended.get(name, DONE) is DONE]
    wrong = frozenset(
        data.draw(st.sets(st.sampled_from(delivered), max_size=2) if delivered else st.just(set()))
    )
    from_step = data.draw(st.none() | st.sampled_from(sorted(workflow.steps)))
    divided = divide(catalog, workflow, replace(given_, wrong=wrong), INPUTS, from_step)
    if isinstance(divided, Unfit):
        assert from_step is None and not wrong
        return
    kept, left, anew = (names(divided, part) for part in ("kept", "left", "anew"))
    assert kept | left | anew == set(places) and len(kept) + len(left) + len(anew) == len(places)
    assert kept.isdisjoint(wrong) and not any(name.split()[0] == from_step for name in kept)
    assert all(ended.get(name, DONE) is DONE for name in kept)
    assert all(ended.get(name, DONE) is not DONE for name in left)
    for name in kept:
        step, item = name.split()
        for other in workflow.steps[step].needs:
            own = (
                {f"{other} {item}"}
                if workflow.steps[step].for_each and workflow.steps[other].for_each
                else None
            )
            assert anew.isdisjoint(own or {place for place in places if place.split()[0] == other})


def test_a_quorum_that_went_on_without_one_is_kept_without_it() -> None:
    workflow = CATALOG_OF_TODAY.workflows["summary"]
    draft = workflow.steps["draft"].model_copy(update={"needs": {"check-quotes": Quorum(quorum=2)}})
    quorum = workflow.model_copy(update={"steps": workflow.steps | {"draft": draft}})
    ended = {
        "research 2": SubtaskState.CANCELLED,
        "check-quotes 2": SubtaskState.CANCELLED,
        "publish 0": DEAD,
    }
    divided = divide(CATALOG_OF_TODAY, quorum, source(CATALOG_OF_TODAY, quorum, ended), INPUTS)
    assert names(divided, "left") == {"research 2", "check-quotes 2"}
    assert names(divided, "anew") == {"publish 0"}


def test_what_stood_in_for_a_dead_step_is_kept_until_the_dead_one_is_replayed() -> None:
    workflow = CATALOG_OF_TODAY.workflows["summary"]
    research = workflow.steps["research"]
    trouble = research.trouble
    assert trouble
    steps = workflow.steps | {
        "research": research.model_copy(
            update={"trouble": trouble.model_copy(update={"substitute": "spare"})}
        ),
        "spare": research.model_copy(update={"standby": True}),
        "check-quotes": workflow.steps["check-quotes"].model_copy(update={"needs": {"research": Join.ALL}}),
    }
    with_spare = workflow.model_copy(update={"steps": steps})
    ended = {"research 0": DEAD, "spare 1": SKIPPED, "spare 2": SKIPPED, "publish 0": DEAD}
    found = source(CATALOG_OF_TODAY, with_spare, ended)
    divided = divide(CATALOG_OF_TODAY, with_spare, found, INPUTS, from_instance=("publish", 0))
    assert names(divided, "left") == {"research 0", "spare 1", "spare 2"}
    assert names(divided, "anew") == {"publish 0"}
    again = divide(CATALOG_OF_TODAY, with_spare, found, INPUTS, from_instance=("research", 0))
    assert names(again, "kept") == {"research 1", "research 2", "check-quotes 1", "check-quotes 2"}


@pytest.mark.parametrize(
    ("most_open", "open_", "per_minute", "lately", "places"),
    [
        (50, 0, None, 0, 50),
        (50, 48, None, 0, 2),
        (2, 5, None, 0, 0),
        (50, 0, 3, 1, 2),
        (50, 0, 0.5, 0, 1),
        (50, 0, 0.5, 1, 0),
    ],
)
def test_a_replay_has_no_more_room_than_both_limits_leave(
    most_open: int, open_: int, per_minute: float | None, lately: int, places: int
) -> None:
    assert room(most_open, open_, per_minute, lately) == places


def test_less_than_one_in_a_minute_is_counted_over_longer() -> None:
    assert (window_of(30), window_of(0.5)) == (60.0, 120.0)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ({"op": "add", "path": "/question"}, "add of “/question” has no “value”"),
        ({"op": "copy", "path": "/question"}, "copy of “/question” has no “from”"),
        ({"op": "move", "path": "/question", "from": 3}, "move of “/question” has a “from” that is no text"),
        ({"op": "move", "path": "/question", "from": "nowhere"}, "Location must start with /"),
        ({"op": "remove", "path": "/question"}, None),
        ({"op": "move", "path": "/question", "from": "/documents/0/name"}, None),
    ],
)
def test_what_an_operation_lacks_is_told_before_anything_is_edited(
    operation: dict[str, Any], fault: str | None
) -> None:
    assert fault_of((operation,)) == fault


def test_inputs_that_are_copied_into_themselves_fill_no_memory() -> None:
    doubles: tuple[dict[str, Any], ...] = tuple(
        {"op": "copy", "from": "", "path": f"/copy-{number}"} for number in range(18)
    )
    refused = edited(CATALOG_OF_TODAY.workflows["summary"], INPUTS, doubles, lambda digest: None)
    assert refused == Unfit("the edit copies its inputs to more than 8,388,608 characters")


def test_one_effect_that_changes_and_one_that_stays_are_not_done_under_one_name() -> None:
    """Under a new name the second would be applied again, and nobody would look whether it was before."""
    brief = load_catalog(CATALOG).workflows["brief"]
    announce = Step(lane="publish", effect=Effect(target="scratch:{job}"))
    workflow = brief.model_copy(update={"steps": brief.steps | {"announce": announce}})
    places = tuple(Planned(step, 0, 1) for step in ("draft", "eligibility", "publish", "announce"))
    division = Division(kept=(), left=(), anew=places)
    effects = effects_anew(workflow, division, Source([], {}, frozenset()), {})

    assert (set(effects.other), set(effects.same)) == ({"publish"}, {"announce"})
    assert same_name(effects, frozenset()) is True
    assert same_name(effects, frozenset({"announce"})) is True
    assert same_name(effects, frozenset({"publish"})) is False
    refused = same_name(effects, frozenset({"publish", "announce"}))
    assert isinstance(refused, Unfit) and "replay from announce first" in refused.why
