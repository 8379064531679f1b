"""The monkey: does one fault after the other, in an order that its seed decides, for so many seconds."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.chaos.faults import FAULTS, Fault, mixed
from tests.chaos.stacks import LEASE_SECONDS, LOOK_SECONDS, Stack, eventually

PAUSE_SECONDS = (0.1, 0.5)
KEPT_BACK = 0.9
"""So much of the load is submitted while the faults are done for the first time."""
AGAIN_SECONDS = 3.0
"""Where one fault alone is done: how long the fleet has, once it has recovered, between two of them."""
RECOVERY_SECONDS = 12 * LEASE_SECONDS
DONE_BETWEEN = 50
"""Subtasks that end before the next fault, once each was done, where nobody says another number: one strikes a fleet
that works, however slow its machine is."""


@dataclass
class Monkey:
    """One run's faults, and how often each was done and bit."""

    stack: Stack
    seconds: float
    chance: random.Random
    only: str | None = None
    say: Callable[[str], None] = lambda line: None
    between: int = DONE_BETWEEN
    done: Counter[str] = field(default_factory=Counter)
    bit: Counter[str] = field(default_factory=Counter)
    _began: float = 0.0
    _most: int = 0
    _left: list[Fault] = field(default_factory=list)
    """Of this round."""
    _first_is_over: bool = False

    def run(self, is_over: Callable[[], bool]) -> None:
        """All faults once, however long that takes, and in other orders until the time is over and so is the load;
        or one alone."""
        self._began = time.monotonic()
        until = self._began + self.seconds
        faults = [FAULTS[self.only]] if self.only else mixed(self.stack, self.chance)
        self._most = len(faults)
        for each in faults:
            self._do(each)
        self._first_is_over = True
        for each in [each for each in faults if not self.bit[each.name] and each.bit_later is None]:
            self._do(each)  # it may have met nothing to harm; some of the load was kept for it
        while time.monotonic() < until or not is_over():
            self._left = self._left or self.chance.sample(faults, len(faults))
            ended = self.stack.ended()
            self._do(self._left.pop())
            if self.only is None:
                worked = partial(self._has_ended, ended + self.between, is_over)
                eventually(worked, RECOVERY_SECONDS, LOOK_SECONDS)

    def _has_ended(self, subtasks: int, is_over: Callable[[], bool]) -> bool:
        return is_over() or self.stack.ended() >= subtasks

    def progress(self) -> float:
        """Which share of the load is to be there by now, from 0 to 1: as much as there was of the time, and while
        every fault is done for the first time no more than there was of them."""
        if not self._began:
            return 0.0
        passed = time.monotonic() - self._began
        by_time = passed / self.seconds if passed < self.seconds else 1.0
        if self.only or self._first_is_over:
            return by_time
        return min(by_time, KEPT_BACK * len(self.done) / self._most)

    def count_later(self) -> None:
        """Asks the witnesses about the faults that only they have seen."""
        for name in self.done:
            if count := FAULTS[name].bit_later:
                self.bit[name] = count(self.stack)

    def missed(self) -> list[str]:
        """The faults that were done and never bit."""
        return [name for name in self.done if not self.bit[name]]

    def _do(self, each: Fault) -> None:
        began = time.monotonic()
        self.done[each.name] += 1
        self.bit[each.name] += each.bite(self.stack)
        self.say(f"{each.name}: {self.bit[each.name]} ({time.monotonic() - began:.1f} s)")
        if self.only:
            eventually(
                self.stack.has_recovered, RECOVERY_SECONDS
            )  # else it is the next fault that takes the time
            time.sleep(AGAIN_SECONDS)
        elif each.bit_later is None:  # what its vendor is told to do has harmed nobody yet
            time.sleep(self.chance.uniform(*PAUSE_SECONDS))
