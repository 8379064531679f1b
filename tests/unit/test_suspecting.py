"""Suspecting: so many suspects are granted that none has to share a process with another."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deciders.suspecting import Process, room

DRAFT, BOTH = frozenset({"draft"}), frozenset({"draft", "review"})


def test_every_process_without_a_suspect_is_room_for_one() -> None:
    three = [Process(DRAFT, 16, False), Process(DRAFT, 1, False), Process(DRAFT, 15, True)]
    assert room(three, {}).room("draft") == 2
    assert room(three, {"draft": 1}).room("draft") == 1
    assert room(three, {"draft": 5}).room("draft") == 0
    assert room(three, {}).room("review") == 0, "nobody takes work of that lane"


def test_a_full_process_is_none_for_a_suspect() -> None:
    assert room([Process(DRAFT, 0, False), Process(DRAFT, 8, True)], {}).room("draft") == 0


def test_lanes_that_share_a_process_share_its_room() -> None:
    free = room([Process(BOTH, 16, False)], {})
    assert (free.room("draft"), free.room("review")) == (1, 1)
    free.take("review")
    assert (free.room("draft"), free.room("review")) == (0, 0)


PROCESSES = st.lists(st.builds(Process, st.sampled_from([DRAFT, BOTH]), st.integers(0, 2), st.booleans()))
GRANTED = st.dictionaries(st.sampled_from(["draft", "review"]), st.integers(0, 3))


@given(PROCESSES, GRANTED, st.lists(st.sampled_from(["draft", "review"]), max_size=8))
def test_never_more_are_granted_than_processes_can_take_apart(
    processes: list[Process], granted: dict[str, int], wanted: list[str]
) -> None:
    free, more = room(processes, granted), 0
    for lane in wanted:
        if free.room(lane):
            free.take(lane)
            more += 1
    takers = [each for each in processes if each.free and not each.suspected]
    assert more <= max(len(takers) - granted.get("draft", 0), 0), "any of them may be what takes a draft"
