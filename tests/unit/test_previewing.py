"""What a preview counts is what the replay then decides job by job."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import ArtifactRef, digest_of
from contracts.limits import Dimension
from contracts.states import SubtaskState
from contracts.vendors import Charging
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.pacing import Bucket, Purse
from orchestrator.deciders.planning import plan
from orchestrator.deciders.previewing import Restart, Tally, divided, edited_fields, lasts
from orchestrator.deciders.replaying import Division, Source, divide

CATALOG = load_catalog()
ENDS = (SubtaskState.DONE, SubtaskState.DEAD, SubtaskState.SKIPPED, SubtaskState.CANCELLED)


def inputs_of(documents: int) -> dict[str, object]:
    listed = [{"name": str(number), "artifact": None} for number in range(documents)]
    return {"question": "Why?", "documents": listed}


def nodes_of(workflow: Workflow, documents: int, ends: dict[str, SubtaskState]) -> list[Node]:
    """Every step's instances with this end."""
    nodes = []
    for each in plan(workflow, inputs_of(documents)):
        step = workflow.steps[each.step]
        makes = CATALOG.operation(step).output if step.lane else "approval"
        ref = ArtifactRef(digest=digest_of(b"x"), size_bytes=1)
        delivered = Delivered(makes, "so", ref) if ends[each.step] is SubtaskState.DONE else None
        node = Node(f"{each.step}{each.item}", each.step, each.item, 1, ends[each.step], delivered=delivered)
        nodes.append(node)
    return nodes


@given(data=st.data(), name=st.sampled_from(["brief", "summary"]), documents=st.integers(1, 3))
def test_a_preview_divides_as_the_replay_does(data: st.DataObject, name: str, documents: int) -> None:
    workflow = CATALOG.workflows[name]
    ends = {step: data.draw(st.sampled_from(ENDS), step) for step in workflow.steps}
    from_step = data.draw(st.none() | st.sampled_from(sorted(workflow.steps)))
    nodes = nodes_of(workflow, documents, ends)
    exact = divide(CATALOG, workflow, Source(nodes, inputs_of(documents)), inputs_of(documents), from_step)

    count = Counter(node.step for node in nodes)
    came = {
        step: Tally(
            count[step] * (end is SubtaskState.DONE), count[step] * (end is SubtaskState.DEAD), count[step]
        )
        for step, end in ends.items()
    }
    told = divided(workflow, came, Restart(step=from_step))

    if isinstance(exact, Division):
        assert {step: parts.anew for step, parts in told.items() if parts.anew} == Counter(
            each.step for each in exact.anew
        )
        assert {step: parts.left for step, parts in told.items() if parts.left} == Counter(
            each.step for each, _ in exact.left
        )
    else:
        assert not any(parts.anew for parts in told.values())


def test_one_item_of_three_runs_alone_and_what_joins_it_runs_with_it() -> None:
    workflow = CATALOG.workflows["summary"]
    came = {"research": Tally(3, 0, 3), "check-quotes": Tally(3, 0, 3)}
    came |= {"draft": Tally(1, 0, 1), "publish": Tally(1, 0, 1)}
    told = divided(workflow, came, Restart(named=True, instances={"research": 1}))
    assert {step: parts.anew for step, parts in told.items()} == {
        "research": 1,
        "check-quotes": 1,
        "draft": 1,
        "publish": 1,
    }


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
