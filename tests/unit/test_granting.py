"""Granting: what an attempt waited for is told apart, by when its budget last refused it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from orchestrator.batch import Batch
from orchestrator.candidates import Candidate
from orchestrator.deciders.slots import Slots
from orchestrator.granting import Granted, Round
from orchestrator.repeats import Questions

AT = 100_000.0


def granted(
    waited: float, backoff: float = 0.0, refused_at: float | None = None, held_by: str | None = None
) -> tuple[float, float]:
    """What the attempt is told to have waited for its budget and in the queue, in seconds."""
    row = SimpleNamespace(
        id="01SUBTASK",
        job_id="01JOB",
        name="work",
        tenant="acme",
        lane="noop",
        purpose="feature",
        tries=0,
        crashes=0,
        suspect=False,
        subject=None,
        budget=None,
        repeat_key=None,
        reserve_input_tokens=0,
        ready_at=AT - waited - backoff,
        held_by=held_by,
        allowed_seconds=10.0,
    )
    with create_engine("sqlite://").connect() as connection:
        given_round = Round(
            batch=Batch(AT, "the test"),
            free=Slots([(frozenset(["noop"]), 1)], {}, {}),
            apart=Slots([], {}, {}),
            funds={},
            known={},
            caps={},
            questions=Questions(connection, AT, []),
            start_by_seconds=30.0,
            refused={} if refused_at is None else {"lane noop": refused_at},
        )
        assert given_round.grant(Candidate(row, waited, backoff)) == Granted()
    (attempt,) = given_round.batch.attempts
    return attempt["budget_seconds"], attempt["queue_seconds"]


def test_a_refusal_that_is_long_over_explains_no_later_wait() -> None:
    assert granted(36_000.0, refused_at=AT - 35_990.0) == (10.0, 35_990.0)
    assert granted(36_000.0, refused_at=AT - 35_990.0, held_by="its budget") == (10.0, 35_990.0)


def test_a_refusal_before_it_was_due_is_none_of_its_own() -> None:
    assert granted(50.0, backoff=30.0, refused_at=AT - 60.0) == (0.0, 50.0)


def test_what_an_earlier_leader_held_back_was_held_until_here() -> None:
    assert granted(50.0, held_by="its budget") == (50.0, 0.0)
    assert granted(50.0) == (0.0, 50.0)


@given(st.floats(0, 1e5), st.floats(0, 1e3), st.floats(0, AT))
def test_together_they_are_what_it_waited(waited: float, backoff: float, refused_at: float) -> None:
    budget, queue = granted(waited, backoff, refused_at)
    assert budget >= 0 and queue >= 0
    assert budget + queue == pytest.approx(waited)
