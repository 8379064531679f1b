"""What a person is shown when asked: never “no objection” beside an objection."""

from typing import Any

import pytest

from contracts.artifacts import ArtifactRef
from contracts.states import SubtaskState
from contracts.verdicts import Decision
from orchestrator.catalog_files import load_catalog
from orchestrator.deciders.nodes import Delivered, Node
from orchestrator.deciders.packets import packet

BRIEF = load_catalog().workflows["brief"]
REF = ArtifactRef(digest="sha256:" + "0" * 64, size_bytes=1)
S = SubtaskState


def node(
    step: str, says: str, decision: Decision | None = None, vendor: str | None = None, **kept: Any
) -> Node:
    values = {"round": 1, "state": S.DONE} | kept
    delivered = Delivered("c@1", says, REF, decision)
    return Node(f"{step}#{values['round']}", step, 0, vendor=vendor, delivered=delivered, **values)


DRAFT = node("draft", "a page")
ELIGIBLE = node("eligibility", "it holds")
ASKING = Node("approval#1", "approval", 0, 1, S.WAITING)
REVIEW = node("review", "approves with 0 finding(s)", Decision.APPROVE, "openai")
SECURITY = node("security", "approves with 0 finding(s)", Decision.APPROVE, "google")
OBJECTION = node("review", "objects with 1 finding(s): it is wrong", Decision.OBJECT, "openai")


def shown(*nodes: Node) -> dict[str, Any]:
    return packet(BRIEF, ASKING, ELIGIBLE, [DRAFT, ELIGIBLE, ASKING, *nodes])


def test_no_objection_is_told_with_the_names_of_those_who_raise_none() -> None:
    assert shown(REVIEW, SECURITY)["recommendation"] == (
        "approve: review (openai), security (google) raise no objection"
    )


def test_an_objection_is_told_with_its_words() -> None:
    assert shown(OBJECTION, SECURITY)["recommendation"] == (
        "do not approve: review (openai) objects with 1 finding(s): it is wrong"
    )


@pytest.mark.parametrize("state", [S.RUNNING, S.REPORTED, S.DEAD])
def test_who_gave_no_open_verdict_does_not_count_as_content(state: SubtaskState) -> None:
    held = SECURITY.delivered if state is S.REPORTED else None
    told = shown(REVIEW, Node("security#1", "security", 0, 1, state, delivered=held))
    assert told["recommendation"] == "do not approve yet: no verdict of security"
    assert [evidence["step"] for evidence in told["evidence"]] == ["review"]


def test_a_revision_is_offered_as_long_as_a_round_is_left() -> None:
    told = shown(REVIEW, SECURITY)
    assert told["may_revise"]
    assert [offer.split(":")[0] for offer in told["alternatives"]] == ["approve", "revise", "reject"]

    last = [node("draft", "a page", round=3)]
    told = shown(REVIEW, SECURITY, *last)
    assert not told["may_revise"]
    assert [offer.split(":")[0] for offer in told["alternatives"]] == ["approve", "reject"]
