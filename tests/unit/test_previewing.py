"""What a preview counts is what the replay then decides job by job."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import ArtifactRef, digest_of
from contracts.limits import Dimension
from contracts.states import SubtaskState
from contracts.vendors import Charging
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.nodes import Delivered, Node, Planned
from orchestrator.deciders.pacing import Bucket, Purse
from orchestrator.deciders.planning import plan
from orchestrator.deciders.previewing import (
    Divided,
    Renewal,
    Stage,
    divided,
    edited_fields,
    lasts,
    renewal,
    shape_of,
    supposed,
)
from orchestrator.deciders.replaying import Division, Instance, Source, divide, effects_anew

CATALOG = load_catalog(Path("tests/bench/catalog"))
ENDS = (SubtaskState.DONE, SubtaskState.DEAD, SubtaskState.SKIPPED, SubtaskState.CANCELLED)
NAMES = ["brief", "summary", "joins", "mailing", "fan", "wire"]


def inputs_of(workflow: Workflow, items: list[str], question: str = "Why?") -> dict[str, Any]:
    """As the contract of its inputs has them; each document is its name."""
    if workflow.inputs.startswith("bench."):
        return {"items": items}
    return {"question": question, "documents": [{"name": each, "artifact": None} for each in items]}


def node_of(workflow: Workflow, place: Planned, end: SubtaskState) -> Node:
    step = workflow.steps[place.step]
    makes = CATALOG.operation(step).output if step.lane else "approval"
    ref = ArtifactRef(digest=digest_of(b"x"), size_bytes=1)
    delivered = Delivered(makes, "so", ref) if end is SubtaskState.DONE else None
    return Node(f"{place.step}{place.item}", place.step, place.item, 1, end, delivered=delivered)


def stages_of(nodes: list[Node], wrong: frozenset[str], named: Instance | None) -> dict[Instance, Stage]:
    """What the ledger tells of them."""
    return {
        (node.step, node.item): Stage(
            node.step,
            node.state if node.state in (SubtaskState.DONE, SubtaskState.DEAD) else SubtaskState.SKIPPED,
            void=node.id in wrong and node.state is SubtaskState.DONE,
            named=(node.step, node.item) == named,
        )
        for node in nodes
    }


def counted(division: Division) -> dict[str, Counter[str]]:
    return {
        "anew": Counter(place.step for place in division.anew),
        "kept": Counter(place.step for place, _ in division.kept),
        "left": Counter(place.step for place, _ in division.left),
    }


WORDS = st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=4)


@given(data=st.data(), name=st.sampled_from(NAMES), items=WORDS)
def test_a_preview_divides_as_the_replay_does(data: st.DataObject, name: str, items: list[str]) -> None:
    """Whatever each instance came to, whichever is named or wrong, and whatever an edit changes."""
    workflow = CATALOG.workflows[name]
    before = inputs_of(workflow, items)
    edited = data.draw(st.none() | st.tuples(WORDS, st.sampled_from(["Why?", "How?"])), "edited")
    after = inputs_of(workflow, *edited) if edited else before
    places = [place for place in plan(workflow, before) if data.draw(st.integers(0, 9), "there")]
    nodes = [node_of(workflow, place, data.draw(st.sampled_from(ENDS), place.step)) for place in places]
    from_step = data.draw(st.none() | st.sampled_from(sorted(workflow.steps)), "from")
    named = data.draw(st.none() | st.sampled_from([(place.step, place.item) for place in places or [
        Planned("nothing", 0, 1)]]), "named")  # fmt: skip
    wrong = data.draw(st.sets(st.sampled_from([node.id for node in nodes])) if nodes else st.just(set()))
    source = Source(nodes, before, frozenset(wrong))

    exact = divide(CATALOG, workflow, source, after, from_step, named)
    shape = shape_of(workflow, stages_of(nodes, source.wrong, named), renewal(workflow, before, after))
    told = divided(CATALOG, workflow, CATALOG, shape, from_step)

    if isinstance(exact, Division):
        assert isinstance(told, Divided)
        assert counted(told.division) == counted(exact)
        assert told.effects == effects_anew(workflow, exact, source, after)
    else:
        assert told == exact


def shaped(
    workflow: Workflow, ends: dict[Instance, SubtaskState], named: Instance | None = None
) -> tuple[list[Node], Renewal, dict[Instance, Stage]]:
    nodes = [node_of(workflow, Planned(*place, round=1), end) for place, end in ends.items()]
    came = stages_of(nodes, frozenset(), named)
    return nodes, supposed(workflow, came, frozenset()), came


def test_jobs_of_which_another_item_failed_are_of_one_shape() -> None:
    workflow = CATALOG.workflows["summary"]
    done, dead = SubtaskState.DONE, SubtaskState.DEAD
    shapes = set()
    for lost in range(3):
        ends = {("research", item): dead if item == lost else done for item in range(3)}
        _, renewed, came = shaped(workflow, ends)
        shapes.add(shape_of(workflow, came, renewed))
    assert len(shapes) == 1
    ends |= {("check-quotes", 0): dead, ("check-quotes", 1): done}
    _, renewed, came = shaped(workflow, ends)
    apart = shape_of(workflow, came, renewed)
    ends |= {("check-quotes", 0): done, ("check-quotes", 2): dead}
    del ends["check-quotes", 1]
    _, renewed, came = shaped(workflow, ends)
    assert apart != shape_of(workflow, came, renewed), "both failures are of one item here"


def test_one_item_of_three_runs_alone_and_what_joins_it_runs_with_it() -> None:
    workflow = CATALOG.workflows["summary"]
    places = [(place.step, place.item) for place in plan(workflow, inputs_of(workflow, ["a", "b", "c"]))]
    _, renewed, came = shaped(workflow, dict.fromkeys(places, SubtaskState.DONE), ("research", 1))
    told = divided(CATALOG, workflow, CATALOG, shape_of(workflow, came, renewed))
    assert isinstance(told, Divided)
    assert counted(told.division)["anew"] == {"research": 1, "check-quotes": 1, "draft": 1, "publish": 1}


def test_of_inputs_that_nobody_read_an_edited_list_counts_as_changed_throughout() -> None:
    workflow = CATALOG.workflows["summary"]
    places = [(place.step, place.item) for place in plan(workflow, inputs_of(workflow, ["a", "b", "c"]))]
    _, _, came = shaped(workflow, dict.fromkeys(places, SubtaskState.DONE))
    shape = shape_of(workflow, came, supposed(workflow, came, frozenset({"documents"})))
    told = divided(CATALOG, workflow, CATALOG, shape)
    assert isinstance(told, Divided)
    assert counted(told.division)["anew"] == {"research": 3, "check-quotes": 3, "draft": 1, "publish": 1}


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ({"op": "replace", "path": "/question", "value": 1}, {"question"}),
        ({"op": "move", "from": "/a~1b/0", "path": "/documents/-"}, {"a/b", "documents"}),
        ({"op": "test", "path": "/question", "value": 1}, set()),
        ({"op": "test", "path": "", "value": {}}, set()),
        ({"op": "add", "path": "/question", "value": 1, "from": "stray"}, {"question"}),
        ({"op": "replace", "path": "", "value": {}}, {"question", "documents"}),
    ],
)
def test_the_fields_that_a_patch_touches(operation: dict[str, object], fields: set[str]) -> None:
    assert edited_fields([operation], ["question", "documents"]) == fields


def purse(key: str, level: float, closed_seconds: float = 0.0, **limits: float) -> Purse:
    buckets = {Dimension(name): Bucket(limit, 60, level) for name, limit in limits.items()}
    return Purse(key, "v/g", Charging(), buckets, 4, closed_seconds=closed_seconds, closed_why="away")


def test_accounts_refill_side_by_side_and_a_day_comes_back_with_the_next() -> None:
    both = [purse("v/a/g", 10, requests=60), purse("v/b/g", 10, requests=60)]
    assert lasts(both, {Dimension.REQUESTS: 20}).seconds == 0
    assert lasts(both, {Dimension.REQUESTS: 140}).seconds == pytest.approx(60)
    assert lasts([purse("v/a/g", 0, 30, requests=60)], {Dimension.REQUESTS: 10}).seconds == pytest.approx(40)
    daily = lasts([purse("v/a/g", 100, requests_per_day=100)], {Dimension.REQUESTS_PER_DAY: 250})
    assert (daily.seconds, daily.by) == (2 * 86_400, "v/g requests per day")
