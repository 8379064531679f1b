"""Joins: when a step may start, when it never will, whom it goes on without, and who takes whose place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.artifacts import ArtifactRef
from contracts.catalog import CatalogError
from contracts.states import SubtaskState
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.joining import Joined, Met, Never, NotYet, first_cause, join, needed
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.progress import progress

S = SubtaskState
REF = ArtifactRef(digest="sha256:" + "0" * 64, size_bytes=1)
BENCH = Path("tests/bench/catalog")
DONE, DEAD, SKIPPED, OPEN, IDLE = S.DONE, S.DEAD, S.SKIPPED, S.RUNNING, S.WAITING
TROUBLE: dict[str, Any] = {"loop": "dead", "cut": "dead", "fail": "dead"}
DO: dict[str, Any] = {
    "lane": "noop",
    "ask": "Do nothing.",
    "success": ["done"],
    "trouble": TROUBLE,
}


def steps(**changes: dict[str, Any]) -> dict[str, Any]:
    """Branches over the items, and one step that joins them."""
    made = {"branch": DO | {"for_each": "inputs.items"}, "close": DO | {"needs": {"branch": "all"}}}
    for name, change in changes.items():
        made[name] = made.get(name, DO) | change
    return made


def workflow(declared: dict[str, Any]) -> Workflow:
    return Workflow.model_validate(
        {
            "workflow": "joins",
            "revision": 1,
            "title": "Joins",
            "inputs": "bench.Inputs@1",
            "result": "close",
            "steps": declared,
        }
    )


def nodes(*states: SubtaskState, step: str = "branch") -> list[Node]:
    return [
        Node(
            f"{step}{item}",
            step,
            item,
            1,
            state,
            why=f"{step} {item} says no" if state in (DEAD, SKIPPED) else "",
            delivered=Delivered("bench.Nothing@1", "so", REF) if state is DONE else None,
        )
        for item, state in enumerate(states)
    ]


def decided(need: Any, *states: SubtaskState) -> Joined:
    made = workflow(steps(close={"needs": {"branch": need}}))
    return join(made, "close", 0, [*nodes(*states), *nodes(IDLE, step="close")])


def outcome(joined: Joined) -> str | list[str]:
    return [node.id for node in joined.missing] if isinstance(joined, Met) else type(joined).__name__


TABLE: dict[str, list[tuple[tuple[SubtaskState, ...], str | list[str]]]] = {
    "all": [
        ((DONE, DONE, DONE), []),
        ((DONE, OPEN, DONE), "NotYet"),
        ((OPEN, DEAD, DONE), "Never"),
        ((DONE, SKIPPED, DONE), "Never"),
        ((), []),
    ],
    "best_effort": [
        ((DONE, DEAD, DONE), ["branch1"]),
        ((DONE, DEAD, OPEN), "NotYet"),
        ((DEAD, SKIPPED, DEAD), "Never"),
        ((), []),
    ],
    "any": [
        ((OPEN, DONE, OPEN), ["branch0", "branch2"]),
        ((DEAD, OPEN, DEAD), "NotYet"),
        ((DEAD, DEAD, DEAD), "Never"),
        ((DONE,), []),
        ((), "Never"),
    ],
    "2": [
        ((DONE, DONE, OPEN), ["branch2"]),
        ((DONE, DEAD, OPEN), "NotYet"),
        ((DONE, DEAD, DEAD), "Never"),
        ((OPEN, DEAD, DEAD), "Never"),
        ((DONE, DONE, DEAD), ["branch2"]),
        ((DONE,), "Never"),
        ((), "Never"),
    ],
}


@pytest.mark.parametrize(
    ("need", "states", "expected"), [(need, *row) for need, rows in TABLE.items() for row in rows]
)
def test_each_policy_decides_as_soon_as_it_can(
    need: str, states: tuple[SubtaskState, ...], expected: str | list[str]
) -> None:
    assert outcome(decided({"quorum": 2} if need == "2" else need, *states)) == expected


def test_a_quorum_that_cannot_be_met_says_by_how_many_and_why() -> None:
    never = decided({"quorum": 2}, DONE, DEAD, DEAD)
    assert isinstance(never, Never)
    assert never.why == "needs 2 of 3 branch, and only 1 can still deliver: branch 1 says no"
    assert [node.id for node in never.lost] == ["branch1", "branch2"]
    made = workflow(steps(close={"needs": {"branch": {"quorum": 2}}}))
    every = [*nodes(DONE, DEAD, DEAD), *nodes(SKIPPED, step="close")]
    assert first_cause(made, every[-1], every).id == "branch1"


def test_over_an_empty_list_nobody_can_be_the_first() -> None:
    assert decided("any") == Never("needs 1 of branch, and there is none: its list is empty")


@pytest.mark.parametrize(
    ("need", "branches", "ends"),
    [
        ("best_effort", (SKIPPED, SKIPPED), "starve"),
        ("all", (DONE, SKIPPED), "starve"),
        ("any", (), "starve"),
        ({"quorum": 2}, (DONE, SKIPPED, SKIPPED), "starve"),
        ("best_effort", (SKIPPED, DEAD), "skip"),
        ("all", (S.CANCELLED, SKIPPED), "skip"),
    ],
)
def test_who_lacks_what_was_allowed_to_fail_dies_of_it_where_nobody_else_tells(
    need: Any, branches: tuple[SubtaskState, ...], ends: str
) -> None:
    """Or a job would fail without a dead letter."""
    every = [*nodes(*branches), *nodes(IDLE, step="close"), *nodes(IDLE, step="last")]
    last = {"needs": {"close": "all"}}
    found = progress(workflow(steps(close={"needs": {"branch": need}}, last=last)), every)
    told = {"starve": found.starve, "skip": found.skip}
    assert {how: [node.id for node, _ in some] for how, some in told.items()} == {
        "starve": [], "skip": [], ends: ["close0"]
    }  # fmt: skip
    allowed = TROUBLE | {"fail": "skip"}
    may = workflow(steps(close={"needs": {"branch": need}, "trouble": allowed}, last=last))
    assert [node.id for node, _ in progress(may, every).skip] == ["close0"], "it may fail itself"
    skipped = [*nodes(*branches), *nodes(SKIPPED, step="close"), *nodes(IDLE, step="last")]
    found = progress(may, skipped)
    assert [node.id for node, _ in getattr(found, ends)] == ["last0"], "then whoever needs it is asked"


def left_over(need: Any, close: SubtaskState, **more: Any) -> list[str]:
    made = workflow(steps(close={"needs": {"branch": need}}, **more))
    extra = [node for name in more for node in nodes(IDLE, step=name)]
    branches = nodes(DONE, S.READY, IDLE, OPEN, S.PARKED)
    return [node.id for node, _ in progress(made, [*branches, *nodes(close, step="close"), *extra]).cancel]


def test_whom_an_any_went_on_without_is_cancelled_unless_it_runs() -> None:
    assert left_over("any", S.READY) == ["branch1", "branch2", "branch4"]
    assert left_over("any", S.WAITING) == []


@pytest.mark.parametrize("need", [{"quorum": 1, "rest": "leave"}, "best_effort", "all"])
def test_only_what_may_be_cancelled_is(need: Any) -> None:
    assert left_over(need, S.READY) == []


def test_what_another_step_still_needs_is_not_cancelled() -> None:
    assert left_over("any", S.READY, other={"needs": {"branch": "all"}}) == []


STANDBY: dict[str, dict[str, Any]] = {
    "branch": {"trouble": {"loop": "dead", "cut": "dead", "fail": {"substitute": "spare"}}},
    "spare": {"standby": True, "for_each": "inputs.items"},
}


def test_a_substitute_starts_only_for_the_one_that_ended_badly_and_takes_its_place() -> None:
    made = workflow(steps(**STANDBY))
    assert made.steps["branch"].trouble and made.steps["branch"].trouble.fail == "dead"
    assert made == Workflow.model_validate(made.model_dump(mode="json")), "a snapshot reads it back"
    waiting = [*nodes(DONE, DEAD, OPEN), *nodes(IDLE, IDLE, IDLE, step="spare"), *nodes(IDLE, step="close")]
    found = progress(made, waiting)
    assert [start.node.id for start in found.start] == ["spare1"]
    assert [(node.id, why) for node, why in found.skip] == [
        ("spare0", "nobody has to stand in: branch is done")
    ]
    settled = [*nodes(DONE, DEAD), *nodes(SKIPPED, DONE, step="spare"), *nodes(IDLE, step="close")]
    assert [node.id for node in needed(made, "close", 0, "branch", settled)] == ["branch0", "spare1"]
    assert isinstance(join(made, "close", 0, settled), Met)


@pytest.mark.parametrize(("spare", "expected"), [(IDLE, NotYet), (DEAD, Never)])
def test_who_needs_a_failed_branch_waits_for_its_substitute(
    spare: SubtaskState, expected: type[Joined]
) -> None:
    made = workflow(steps(**STANDBY))
    every = [*nodes(DEAD), *nodes(spare, step="spare"), *nodes(IDLE, step="close")]
    assert isinstance(join(made, "close", 0, every), expected)


def refused(tmp_path: Path, **changes: dict[str, Any]) -> str:
    for section in ("lanes", "workflows"):
        (tmp_path / section).mkdir()
    (tmp_path / "lanes" / "noop.yaml").write_text((BENCH / "lanes" / "noop.yaml").read_text())
    made = workflow(steps(**changes)).model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "workflows" / "joins.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    with pytest.raises(CatalogError) as found:
        load_catalog(tmp_path)
    return " | ".join(found.value.problems)


REFUSED: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "a quorum above what the inputs may hold": (
        {"close": {"needs": {"branch": {"quorum": 1001}}}},
        "step close needs 1001 of branch, of which there is at most 1000",
    ),
    "a quorum of one instance": (
        {"mine": {"for_each": "branch", "needs": {"branch": {"quorum": 2}}}},
        "step mine needs 2 of branch, of which there is at most 1",
    ),
    "an unknown substitute": (
        {"branch": {"trouble": TROUBLE | {"fail": {"substitute": "nobody"}}}},
        "names the unknown step “nobody” as its substitute",
    ),
    "a substitute that does not stand by": (
        STANDBY | {"spare": {"for_each": "inputs.items"}},
        "has the substitute spare, which does not stand by",
    ),
    "a substitute of other items": (
        STANDBY | {"spare": {"standby": True}},
        "has the substitute spare, which is not mapped over the same items",
    ),
    "a substitute that is needed itself": (
        STANDBY | {"close": {"needs": {"branch": "all", "spare": "all"}}},
        "step spare stands by, so close must need the step whose place it takes",
    ),
    "nobody to stand in for": (
        {"spare": {"standby": True}},
        "step spare stands by, and no step names it as its substitute",
    ),
    "a substitute that waits for whom it serves": (
        STANDBY | {"spare": {"standby": True, "for_each": "inputs.items", "needs": {"close": "all"}}},
        "has a cycle: ",
    ),
    "a substitute of another contract": (
        STANDBY
        | {
            "spare": {
                "standby": True,
                "for_each": "inputs.items",
                "lane": "compute",
                "operation": "check-quotes",
            }
        },
        "step branch delivers bench.Nothing@1, and its substitute spare delivers brief.CheckedClaims@1",
    ),
    "a result that is substituted": (
        {
            "close": {"trouble": TROUBLE | {"fail": {"substitute": "spare"}}},
            "spare": {"standby": True},
        },
        "step close is the result or stands by itself, and cannot be substituted",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_join_that_cannot_work_is_refused(tmp_path: Path, kind: str) -> None:
    changes, sentence = REFUSED[kind]
    assert sentence in refused(tmp_path, **changes)


def test_a_failure_is_answered_by_one_word_only() -> None:
    with pytest.raises(ValueError, match="fail is dead, skip or"):
        workflow(steps(branch={"trouble": TROUBLE | {"fail": {"retry": "spare"}}}))
