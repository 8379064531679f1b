"""Which workers are silent: those that could take what waits, and take not even a canary."""

from dataclasses import replace

import pytest

from orchestrator.deciders.liveness import Standing, is_silent

AT, AFTER = 1000.0, 90.0
DEAF = Standing(frozenset({"draft", "audit"}), slots=4, busy=1, heard_at=AT - 100, canary_at=AT - 20)
WAITING = frozenset({"audit"})


def test_who_takes_nothing_of_what_waits_is_silent() -> None:
    assert is_silent(DEAF, WAITING, AT, AFTER)


@pytest.mark.parametrize(
    ("worker", "waiting"),
    [
        pytest.param(replace(DEAF, busy=4), WAITING, id="it is busy, however slowly"),
        pytest.param(replace(DEAF, heard_at=AT - 80), WAITING, id="it was heard a moment ago"),
        pytest.param(DEAF, frozenset({"research"}), id="nothing waits that it serves"),
        pytest.param(replace(DEAF, canary_at=None), WAITING, id="no canary was rung for it"),
        pytest.param(replace(DEAF, canary_at=AT - 100.5), WAITING, id="it took the last canary"),
        pytest.param(
            replace(DEAF, canary_at=AT - 5), WAITING, id="it was rung only now, as after a long absence"
        ),
        pytest.param(replace(DEAF, canary_at=AT - 70), WAITING, id="the broker takes no canaries either"),
    ],
)
def test_everybody_else_is_left_alone(worker: Standing, waiting: frozenset[str]) -> None:
    assert not is_silent(worker, waiting, AT, AFTER)
