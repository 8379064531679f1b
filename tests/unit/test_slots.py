"""Slots: lanes share the slots of their workers, and each has a short queue of its own before them."""

from orchestrator.deciders.slots import Slots, Takings, ahead_of

BOTH = frozenset({"draft", "limits"})


def test_without_a_worker_there_is_no_room() -> None:
    assert Slots([], {}, {"draft": 5}).room("draft") == 0


def test_a_slot_is_given_once_to_whichever_lane_comes() -> None:
    free = Slots([(BOTH, 2)], {"draft": 1}, {})
    assert (free.room("draft"), free.room("limits")) == (1, 1)
    free.take("limits")
    assert (free.room("draft"), free.room("limits")) == (0, 0)


def test_a_lane_gains_nothing_by_the_short_queue_of_another() -> None:
    free = Slots([(BOTH, 16)], {"draft": 16}, {"draft": 1, "limits": 640})
    assert (free.room("draft"), free.room("limits")) == (1, 640)


def test_what_waits_in_a_queue_fills_it() -> None:
    free = Slots([(BOTH, 2)], {"draft": 4}, {"draft": 3, "limits": 3})
    assert (free.room("draft"), free.room("limits")) == (1, 3)


def test_processes_add_up_and_what_runs_fills_any_worker_that_serves_its_lane() -> None:
    free = Slots([(BOTH, 2), (BOTH, 2), (frozenset({"draft"}), 3)], {"draft": 5}, {})
    assert (free.room("draft"), free.room("limits")) == (2, 0)


def test_a_queue_is_as_long_as_the_work_is_short() -> None:
    assert [ahead_of(8, mean, 2.0) for mean in (0.5, 2.0, 60.0)] == [32, 8, 0]


def test_a_queue_is_no_longer_than_what_is_really_done_allows() -> None:
    assert [ahead_of(8, 0.01, 2.0, rate) for rate in (None, 100.0, 5.0, 0.0)] == [1600, 400, 20, 8]
    assert ahead_of(8, 60.0, 2.0, 5.0) == 0, "work that lasts has no queue, whatever is done"


def test_what_is_done_a_second_is_learned_and_forgotten_within_seconds() -> None:
    takings = Takings()
    assert takings.per_second(0.0) == {}
    for second in range(1, 31):
        for _ in range(40):
            takings.count("draft")
        steady = takings.per_second(float(second))
    assert 30 < steady["draft"] < 40
    assert takings.per_second(60.0)["draft"] < 1
