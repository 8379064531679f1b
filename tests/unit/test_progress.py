"""What comes next in a job, decided from its subtasks alone."""

from contracts.artifacts import ArtifactRef
from contracts.states import SubtaskState
from contracts.verdicts import Decision
from contracts.workflows import Workflow
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.joining import first_cause
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.planning import plan
from orchestrator.deciders.progress import doomed, progress
from orchestrator.deciders.revising import AnotherRound, after_person

BRIEF = load_catalog().workflows["brief"]
INPUTS = {"documents": [{}, {}], "question": "?"}
REF = ArtifactRef(digest="sha256:" + "0" * 64, size_bytes=1)
S = SubtaskState


def nodes_of(workflow: Workflow = BRIEF, **states: tuple[SubtaskState, Decision | None]) -> list[Node]:
    """The first round of a job; every step not named is done."""
    made = []
    for planned in plan(workflow, INPUTS):
        state, decision = states.get(planned.step.replace("-", "_"), (S.DONE, None))
        if planned.step in ("review", "security") and state is S.DONE and decision is None:
            decision = Decision.APPROVE
        held = state in (S.DONE, S.REPORTED)
        delivered = Delivered("c@1", f"{planned.step} says", REF, decision) if held else None
        made.append(
            Node(f"{planned.step}{planned.item}", planned.step, planned.item, 1, state, delivered=delivered)
        )
    return made


def waiting(*steps: str) -> dict[str, tuple[SubtaskState, Decision | None]]:
    return dict.fromkeys(steps, (S.WAITING, None))


def test_only_what_needs_nothing_starts_first() -> None:
    steps = (
        "research",
        "check_quotes",
        "draft",
        "review",
        "security",
        "eligibility",
        "approval",
        "publish",
        "verify",
    )
    found = progress(BRIEF, nodes_of(**waiting(*steps)))
    assert [start.node.step for start in found.start] == ["research", "research"]


def test_a_mapped_step_waits_for_its_own_item_only() -> None:
    nodes = nodes_of(
        **waiting(
            "check_quotes", "draft", "review", "security", "eligibility", "approval", "publish", "verify"
        )
    )
    nodes[1] = Node("research1", "research", 1, 1, S.RUNNING)
    found = progress(BRIEF, nodes)
    assert [(start.node.step, start.node.item) for start in found.start] == [("check-quotes", 0)]


def test_a_best_effort_join_goes_on_and_names_what_is_missing() -> None:
    nodes = nodes_of(**waiting("draft", "review", "security", "eligibility", "approval", "publish", "verify"))
    nodes[3] = Node("check-quotes1", "check-quotes", 1, 1, S.DEAD, why="no quote stands")
    found = progress(BRIEF, nodes)
    assert [start.node.step for start in found.start] == ["draft"]
    assert [node.id for node in found.start[0].missing] == ["check-quotes1"]


def test_a_join_of_nothing_never_starts() -> None:
    nodes = nodes_of(**waiting("draft", "review", "security", "eligibility", "approval", "publish", "verify"))
    nodes[2] = Node("check-quotes0", "check-quotes", 0, 1, S.DEAD, why="no quote stands")
    nodes[3] = Node("check-quotes1", "check-quotes", 1, 1, S.DEAD, why="it crashed")
    assert [(node.step, why) for node, why in progress(BRIEF, nodes).skip] == [
        ("draft", "needs at least one check-quotes, and none of 2 delivered: no quote stands")
    ]


def test_the_cause_of_a_job_that_failed_is_where_it_began() -> None:
    skipped = dict.fromkeys(("review", "security", "eligibility", "approval", "publish"), (S.SKIPPED, None))
    nodes = nodes_of(
        research=(S.DEAD, None), check_quotes=(S.SKIPPED, None), draft=(S.SKIPPED, None), **skipped
    )
    result = Node("verify0", "verify", 0, 1, S.SKIPPED)
    assert first_cause(BRIEF, result, [*nodes[:-1], result]).id == "research0"


def test_what_a_join_went_on_without_is_no_cause() -> None:
    nodes = nodes_of(
        draft=(S.DEAD, None), **dict.fromkeys(("review", "security", "eligibility"), (S.SKIPPED, None))
    )
    nodes[0] = Node("research0", "research", 0, 1, S.DEAD)
    nodes[2] = Node("check-quotes0", "check-quotes", 0, 1, S.SKIPPED)
    (eligibility,) = [node for node in nodes if node.step == "eligibility"]
    assert first_cause(BRIEF, eligibility, nodes).id == "draft0"


def test_a_verdict_stays_sealed_until_its_sibling_is_in() -> None:
    later = waiting("eligibility", "approval", "publish", "verify")
    one = nodes_of(review=(S.REPORTED, Decision.OBJECT), security=(S.RUNNING, None), **later)
    assert not progress(BRIEF, one)
    both = nodes_of(review=(S.REPORTED, Decision.OBJECT), security=(S.REPORTED, Decision.APPROVE), **later)
    assert {node.step for node in progress(BRIEF, both).unseal} == {"review", "security"}


def test_an_objection_makes_a_new_round_of_draft_and_both_reviews() -> None:
    nodes = nodes_of(
        review=(S.DONE, Decision.OBJECT), **waiting("eligibility", "approval", "publish", "verify")
    )
    found = progress(BRIEF, nodes)
    assert [(new.step, new.round) for new in found.plan] == [("draft", 2), ("review", 2), ("security", 2)]
    assert "review says" in found.plan_why


def test_objections_after_the_last_round_end_what_is_behind_them() -> None:
    nodes = nodes_of(**waiting("eligibility", "approval", "publish", "verify"))
    for round_ in (2, 3):
        for step in ("draft", "review", "security"):
            decision = {"review": Decision.OBJECT, "security": Decision.APPROVE}.get(step)
            delivered = Delivered("c@1", f"{step} says", REF, decision)
            nodes.append(Node(f"{step}#{round_}", step, 0, round_, S.DONE, delivered=delivered))
    found = progress(BRIEF, nodes)
    assert [(node.step, "after 2 revision(s)" in why) for node, why in found.die] == [("eligibility", True)]


def test_when_the_result_can_no_longer_come_nothing_more_is_started() -> None:
    nodes = nodes_of(publish=(S.DEAD, None), verify=(S.SKIPPED, None), research=(S.READY, None))
    assert doomed(BRIEF, nodes)
    assert {node.step for node, _ in progress(BRIEF, nodes).cancel} == {"research"}


def test_a_finished_job_has_nothing_left_to_do() -> None:
    assert not progress(BRIEF, nodes_of())


def test_a_person_who_wants_a_revision_sends_all_of_it_through_the_reviews_again() -> None:
    nodes = nodes_of(approval=(S.PARKED, None), **waiting("publish", "verify"))
    answer = after_person(BRIEF, "approval", nodes, "say it shorter")
    assert isinstance(answer, AnotherRound)
    assert [new.step for new in answer.planned] == ["draft", "review", "security", "eligibility", "approval"]
