"""Tainting: what was built on a result that was found wrong."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from contracts.handoffs import Handoff

Key = tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """A subtask, as far as it matters what it delivered and what it was made of."""

    id: str
    job: str
    origin: str | None
    """The job that its own is linked to, and whose results it may have been given."""
    source: str
    """What handoffs call it."""
    delivered: str | None
    """The digest of what it delivered."""
    given: frozenset[tuple[str, str]] = frozenset()
    """What it was handed, by what that is called and its digest."""
    shown: frozenset[str] = frozenset()
    """The subtasks of the round before that it was shown."""
    asked: str | None = None
    """The digest about which a person was asked."""


def built_on(wrong: Collection[str], made: Iterable[Made]) -> set[str]:
    """The ids of what was built on these, over any number of steps, they themselves left out."""
    by_id = {each.id: each for each in made}
    users: dict[Key, list[str]] = defaultdict(list)
    for each in by_id.values():
        for key in _used(each):
            users[key].append(each.id)
    found: set[str] = set()
    open_ = [by_id[name] for name in wrong if name in by_id]
    while open_:
        for key in _offered(open_.pop()):
            for user in users.get(key, ()):
                if user not in found and user not in wrong:
                    found.add(user)
                    open_.append(by_id[user])
    return found


def given_wrong(job: str, origin: str | None, handoff: Handoff, wrong: Iterable[Made]) -> Made | None:
    """The first of these results that a handoff was made of, if any."""
    given = frozenset((item.source, item.artifact.digest) for item in handoff.context if item.artifact)
    used = set(
        _used(Made("", job, origin, "", None, given, frozenset(each.attempt for each in handoff.tried)))
    )
    return next((each for each in wrong if used & set(_offered(each))), None)


def _offered(each: Made) -> Iterator[Key]:
    yield ("shown", each.id)
    if each.delivered:
        yield ("given", each.job, each.source, each.delivered)
        yield ("asked", each.job, each.delivered)


def _used(each: Made) -> Iterator[Key]:
    if each.asked:
        yield ("asked", each.job, each.asked)
    for earlier in each.shown:
        yield ("shown", earlier)
    for source, digest in each.given:
        for job in {each.job, each.origin} - {None}:
            yield ("given", str(job), source, digest)
