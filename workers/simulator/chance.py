"""Seeded chance: what happens to a call depends on the seed and the call, never on the order of calls."""

import random
from collections import Counter

from workers.simulator.call import Call


class Lot:
    """What one call drew. Each purpose has its own stream, so that one question asked more often does not
    change the answer to another."""

    def __init__(self, key: str) -> None:
        self._key = key

    def stream(self, purpose: str) -> random.Random:
        return random.Random(f"{self._key}/{purpose}")

    def falls(self, purpose: str, rate: float) -> bool:
        return self.stream(purpose).random() < rate


class Chance:
    """Draws lots; the n-th sight of one prompt draws another than the first."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: Counter[str] = Counter()

    def draw(self, call: Call) -> Lot:
        lot = self.look(call)
        self._seen[call.digest] += 1
        return lot

    def look(self, call: Call) -> Lot:
        """The lot that the next `draw` of this prompt will be, left where it is."""
        digest = call.digest
        return Lot(f"{self._seed}/{call.vendor}/{digest}/{self._seen[digest]}")

    def reset(self) -> None:
        self._seen.clear()
