"""How long work waits for a budget, with what stands before it."""

from contracts.limits import Dimension
from orchestrator.deciders.queueing import Turn, turn
from tests.unit.test_pacing import DAY, IN, OUT, R, purse

KEY = "v/a/g"


def test_what_is_there_is_there() -> None:
    assert turn([purse()], {R: 1, OUT: 100}, {}) == Turn(0.0, KEY, None)


def test_the_scarcest_dimension_decides_with_what_stands_before() -> None:
    account = purse({OUT: 0, IN: 0})
    assert turn([account], {IN: 100, OUT: 50}, {}) == Turn(5.0, KEY, OUT)
    assert turn([account], {IN: 100, OUT: 50}, {OUT: 100, IN: 900}) == Turn(15.0, KEY, OUT)
    assert turn([account], {IN: 100, OUT: 50}, {IN: 9900}) == Turn(100.0, KEY, IN)


def test_accounts_refill_side_by_side() -> None:
    one = purse({OUT: 0})
    assert turn([one, one], {OUT: 100}, {OUT: 100}) == Turn(10.0, KEY, OUT)


def test_closed_accounts_are_waited_for_only_where_no_other_is_open() -> None:
    closed, later = purse(closed=8), purse(closed=60)
    assert turn([later, closed], {OUT: 1}, {}) == Turn(8.0, KEY, None)
    assert turn([closed, purse()], {OUT: 1}, {}) == Turn(0.0, KEY, None)


def test_a_request_above_the_bucket_waits_for_a_full_one() -> None:
    assert turn([purse({OUT: 0})], {OUT: 9999}, {}) == Turn(30.0, KEY, OUT)


def test_only_another_day_brings_a_daily_limit_back() -> None:
    spent = purse({DAY: 0}, requests_per_day=100)
    assert turn([spent], {Dimension.REQUESTS_PER_DAY: 1}, {}) == Turn(float("inf"), KEY, DAY)
