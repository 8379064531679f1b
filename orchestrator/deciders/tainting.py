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
    handoff: Handoff | None
    """None where it got none yet, or was a question to a person."""
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
    handed = Made("", job, origin, "", None, handoff)
    used = set(_used(handed))
    return next((each for each in wrong if used & set(_offered(each))), None)


def _offered(each: Made) -> Iterator[Key]:
    yield ("shown", each.id)
    if each.delivered:
        yield ("given", each.job, each.source, each.delivered)
        yield ("asked", each.job, each.delivered)


def _used(each: Made) -> Iterator[Key]:
    if each.asked:
        yield ("asked", each.job, each.asked)
    if each.handoff is None:
        return
    for tried in each.handoff.tried:
        yield ("shown", tried.attempt)  # the round before, as the revision was shown it
    for item in each.handoff.context:
        if item.artifact:
            for job in {each.job, each.origin} - {None}:
                yield ("given", str(job), item.source, item.artifact.digest)
