"""Which questions are the same, and which answers are good to be given again."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import ArtifactRef, digest_of
from contracts.handoffs import Assignment, ContextItem, Handoff, ModelRoute, Tried
from contracts.purposes import Purpose
from contracts.states import SubtaskState
from orchestrator.deciders.nodes import Node
from orchestrator.deciders.repeating import key_of, stands
from tests.unit.test_progress import BRIEF, nodes_of

S = SubtaskState
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


def asked(text: bytes = b"a document", question: str = "What?") -> Handoff:
    """A question to the lane of researchers."""
    return Handoff(
        assignment=Assignment(
            job="job-1",
            subtask="subtask-1",
            name="research[1]",
            step="research",
            lane="research",
            operation="extract",
            handler="model",
            purpose=Purpose.FEATURE,
            tenant="acme",
            portfolio="docs",
        ),
        subproblem=f"Answer {question}",
        context=(
            ContextItem(
                name="document",
                source="a.txt",
                artifact=ArtifactRef(digest=digest_of(text), size_bytes=len(text)),
            ),
            ContextItem(name="question", source="the job", value=question),
        ),
        desired_output="brief.Claims@1",
        success=("it quotes",),
        role="You are careful.",
        route=ModelRoute(
            vendor="anthropic",
            account="default",
            group="haiku",
            model="claude-haiku-5-5",
            max_output_tokens=2048,
            timeout_seconds=60,
        ),
    )


FIRST = asked()
ROUTE = FIRST.route
assert ROUTE is not None


@given(job=WORDS, subtask=WORDS, name=WORDS, step=WORDS, portfolio=WORDS, purpose=st.sampled_from(Purpose))
def test_whose_work_it_is_does_not_change_the_question(
    job: str, subtask: str, name: str, step: str, portfolio: str, purpose: Purpose
) -> None:
    ids = {"job": job, "subtask": subtask, "name": name, "step": step}
    assignment = FIRST.assignment.model_copy(update=ids | {"portfolio": portfolio, "purpose": purpose})
    assert key_of(FIRST.model_copy(update={"assignment": assignment}), 1) == key_of(FIRST, 1)


@given(account=WORDS, group=WORDS, timeout=st.floats(1, 600))
def test_who_pays_does_not_change_the_question(account: str, group: str, timeout: float) -> None:
    paid = {"account": account, "group": group, "timeout_seconds": timeout}
    route = ROUTE.model_copy(update=paid)
    assert key_of(FIRST.model_copy(update={"route": route}), 1) == key_of(FIRST, 1)


@given(data=st.data(), word=WORDS)
def test_any_other_content_is_another_question(data: st.DataObject, word: str) -> None:
    """Also what this test does not know by name: it goes through all fields of the contracts."""
    parts: dict[str, tuple[object, set[str]]] = {
        "assignment": (FIRST.assignment, {"job", "subtask", "name", "step", "purpose", "portfolio"}),
        "route": (ROUTE, {"account", "group", "timeout_seconds"}),
        "context": (FIRST.context[0], set()),
        "": (FIRST, {"assignment", "route", "context", "tried", "effect", "version", "manifest"}),
    }
    part = data.draw(st.sampled_from(sorted(parts)))
    whole, same = parts[part]
    assert isinstance(whole, Assignment | ModelRoute | ContextItem | Handoff)
    field = data.draw(st.sampled_from(sorted(type(whole).model_fields.keys() - same)))
    before = getattr(whole, field)
    after: object = word
    if isinstance(before, int):
        after = before + 1
    elif field == "success":
        after = (word,)
    elif field == "artifact":
        after = ArtifactRef(digest=digest_of(word.encode()), size_bytes=1)
    if after == before:
        return
    changed = whole.model_copy(update={field: after})
    if part == "context":
        other = FIRST.model_copy(update={"context": (changed, *FIRST.context[1:])})
    else:
        other = FIRST.model_copy(update={part: changed}) if part else changed
    assert isinstance(other, Handoff)
    assert key_of(other, 1) != key_of(FIRST, 1)


def test_another_revision_of_the_lane_is_another_question() -> None:
    assert key_of(FIRST, 1) != key_of(FIRST, 2)


def test_the_order_of_the_material_counts() -> None:
    turned = FIRST.model_copy(update={"context": FIRST.context[::-1]})
    assert key_of(turned, 1) != key_of(FIRST, 1)


def test_a_retry_and_a_lane_without_a_model_have_no_key() -> None:
    again = FIRST.model_copy(update={"tried": (Tried(attempt="1", sentence="it was cut"),)})
    assert key_of(again, 1) is None
    assert key_of(FIRST.model_copy(update={"route": None}), 1) is None


def job(**states: SubtaskState) -> tuple[list[Node], Node]:
    """A brief with two documents, and what the first of them was answered."""
    nodes = nodes_of(**{step: (state, None) for step, state in states.items()})
    return nodes, next(node for node in nodes if (node.step, node.item) == ("research", 0))


def changed(nodes: list[Node], step: str, item: int, state: SubtaskState) -> list[Node]:
    return [replace(node, state=state) if (node.step, node.item) == (step, item) else node for node in nodes]


def test_an_accepted_answer_stands_while_its_job_is_under_way() -> None:
    nodes, answered = job(check_quotes=S.RUNNING)
    assert stands(BRIEF, nodes, answered)


def test_an_answer_whose_quotes_did_not_stand_is_not_given_again() -> None:
    nodes, answered = job()
    assert not stands(BRIEF, changed(nodes, "check-quotes", 0, S.DEAD), answered)
    assert not stands(BRIEF, changed(nodes, "check-quotes", 0, S.SKIPPED), answered)


def test_what_befell_another_document_or_a_later_step_says_nothing_of_it() -> None:
    nodes, answered = job()
    assert stands(BRIEF, changed(nodes, "check-quotes", 1, S.DEAD), answered)
    assert stands(BRIEF, changed(nodes, "draft", 0, S.DEAD), answered)
    assert stands(BRIEF, changed(nodes, "check-quotes", 0, S.CANCELLED), answered)


def test_what_was_revised_is_not_given_again() -> None:
    nodes, _ = job()
    draft = next(node for node in nodes if node.step == "draft")
    assert stands(BRIEF, nodes, draft)
    assert not stands(BRIEF, [*nodes, replace(draft, id="draft#2", round=2, state=S.WAITING)], draft)


def test_what_failed_is_no_answer() -> None:
    for state in (S.DEAD, S.SKIPPED, S.CANCELLED, S.RUNNING):
        nodes, answered = job(research=state)
        assert not stands(BRIEF, nodes, answered)
