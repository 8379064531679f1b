"""The monkey: does one fault after the other, in an order that its seed decides, for so many seconds."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.faults import FAULTS, Fault, mixed
from tests.chaos.stacks import Stack

PAUSE_SECONDS = (0.2, 1.2)
KEPT_BACK = 0.9
"""So much of the load is submitted while the faults are done for the first time."""
AGAIN_SECONDS = 3.0
"""Where one fault alone is done: how long the fleet has between two of them."""
FAVOURITES = ("kill-worker", "flush", "kill-leader", "duplicate-doorbells")
"""What goes on when every fault has been done once; each takes a moment only."""


@dataclass
class Monkey:
    """One run's faults, and how often each was done and bit."""

    stack: Stack
    seconds: float
    chance: random.Random
    only: str | None = None
    say: Callable[[str], None] = lambda line: None
    done: Counter[str] = field(default_factory=Counter)
    bit: Counter[str] = field(default_factory=Counter)
    _began: float = 0.0
    _most: int = 0
    _over: bool = False

    def run(self) -> None:
        """All faults once, however long that takes, and the favourites until the time is over; or one alone."""
        self._began = time.monotonic()
        until = self._began + self.seconds
        first = [FAULTS[self.only]] if self.only else mixed(self.stack, self.chance)
        self._most = 1 if self.only else len(first)
        for each in first:
            self._do(each)
        for each in [each for each in first if not self.bit[each.name] and each.bit_later is None]:
            self._do(each)  # it may have met nothing to harm; some of the load was kept for it
        self._over = True
        again = first if self.only else [each for each in first if each.name in FAVOURITES]
        while again and time.monotonic() < until:
            self._do(self.chance.choice(again))

    def progress(self) -> float:
        """How far the run has come, from 0 to 1: by its time where one fault is done again and again."""
        if self.only:
            return min((time.monotonic() - self._began) / self.seconds, 1.0) if self._began else 0.0
        share = len(self.done) / self._most if self._most else 0.0
        return 1.0 if self.done.total() > self._most or self._over else KEPT_BACK * share

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
        time.sleep(AGAIN_SECONDS if self.only else self.chance.uniform(*PAUSE_SECONDS))
