"""Groups: who waits while an act is done is served together, and hears only of what is their own."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from sqlalchemy.exc import DBAPIError

from orchestrator.door.groups import Groups
from orchestrator.ledger.engine import LedgerUnreachable


@dataclass
class Act:
    """Doubles numbers, all or none, once it is let go; some numbers it cannot double."""

    flaws: dict[int, BaseException] = field(default_factory=dict)
    seen: list[list[int]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.seen.append(sorted(numbers))
        assert self.go.wait(10)
        for number in numbers:
            if number in self.flaws:
                raise self.flaws[number]
        return [2 * number for number in numbers]


def together(act: Act, *numbers: int) -> list[int | BaseException]:
    """What each number's own thread gets; number 0 comes first and keeps the turn until all others wait."""
    groups = Groups(act)

    def ask(number: int) -> int | BaseException:
        try:
            return groups.do(number)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(1 + len(numbers)) as pool:
        first = pool.submit(ask, 0)
        while not act.seen:
            time.sleep(0.001)
        others = [pool.submit(ask, number) for number in numbers]
        while len(groups._waiting) < len(numbers):
            time.sleep(0.001)
        act.go.set()
        assert first.result(10) == 0
        return [other.result(10) for other in others]


def test_those_who_wait_are_served_together() -> None:
    act = Act()
    assert together(act, 1, 2, 3, 4, 5) == [2, 4, 6, 8, 10]
    assert act.seen == [[0], [1, 2, 3, 4, 5]]


def test_one_alone_does_not_wait_for_others() -> None:
    act = Act()
    act.go.set()
    groups = Groups(act)
    assert [groups.do(number) for number in (1, 2, 3)] == [2, 4, 6]
    assert act.seen == [[1], [2], [3]]


@pytest.mark.parametrize("flaw", [ValueError("three"), SystemExit(3)])
def test_one_that_fails_hears_of_it_and_the_others_do_not(flaw: BaseException) -> None:
    act = Act({3: flaw})
    assert together(act, 1, 2, 3, 4) == [2, 4, flaw, 8]
    assert sorted(act.seen[2:]) == [[1], [2], [3], [4]]


def test_an_unreachable_ledger_is_told_to_all_and_not_asked_again_for_each() -> None:
    away = LedgerUnreachable(DBAPIError("", {}, Exception("gone")))
    act = Act({2: away})
    assert together(act, 1, 2, 3) == [away] * 3
    assert act.seen == [[0], [1, 2, 3]]
