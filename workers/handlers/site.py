"""Publishing and reading back: the one operation that writes to a site, and the one that believes only the site."""

from collections.abc import Callable
from datetime import datetime

from contracts.brief import CheckedClaims, Draft, Published, Verified
from contracts.failures import Code
from contracts.handoffs import ContextItem, EffectGrant
from workers.site.contract import unsourced
from workers.site.page import Page
from workers.site.place import Place, granted_place, place_of_page, reached
from workers.site.publisher import Taken, put_up, shown, utc_now
from workers.site.readback import read_back
from workers.site.refusal import refusal
from workers.site.sources import sources_of
from workers.task import Task


def publish(task: Task, now: Callable[[], datetime] = utc_now) -> Published:
    """Puts the page up where the grant says, once per effect key.

    Raises HandlerFailure: gate_refused without a grant that covers exactly this draft and place, ineligible
    where the slug is no slug or the body cites no checked claim, state_changed where it was taken meanwhile,
    interrupted where the attempt was taken away, store_unreachable where the site's file system took or gave
    nothing.
    """
    item = task.item("draft")
    grant = _held_grant(task.handoff.effect, item)
    place = granted_place(task.settings, grant.target, task.handoff.assignment)
    page = _page(task, item, grant)
    if bare := unsourced(page.draft, page.sources):
        raise refusal(Code.INELIGIBLE, f"nothing is published without its sources: {bare}")
    if task.stopped.is_set():
        raise refusal(Code.INTERRUPTED, "the attempt was taken away before anything was published")
    begun = task.effects.begin(grant, {"slug": page.draft.slug, "path": place.address(page.draft.slug)})
    if begun.result is not None:
        return Published.model_validate(begun.result)
    if begun.ambiguous:
        task.effects.verified(grant, _shown(place, page))
    try:
        with reached(place):
            published = put_up(place, page, now)
    except Taken as taken:
        task.effects.withdraw(grant, taken.failure.sentence)
        raise
    task.effects.finish(grant, published.model_dump(mode="json"))
    return published


def verify(task: Task) -> Verified:
    """Compares page, index and posts table with what was published and approved.

    Raises HandlerFailure: not_verified that says everything that was found amiss, store_unreachable.
    """
    assignment = task.handoff.assignment
    published = Published.model_validate_json(task.read(task.item("published")))
    draft = Draft.model_validate_json(task.read(task.item("draft")))
    place = place_of_page(task.settings, published.path, published.slug, assignment)
    with reached(place):
        findings = list(read_back(place, published, draft, assignment.first_job, assignment.replaces))
    missed = [found for _, found in findings if found is not None]
    if missed:
        raise refusal(Code.NOT_VERIFIED, f"{published.path} does not stand as approved: " + "; ".join(missed))
    return Verified(
        slug=published.slug,
        path=published.path,
        page_digest=published.page_digest,
        checks=tuple(sentence for sentence, _ in findings),
    )


def _shown(place: Place, page: Page) -> str:
    with reached(place):
        return shown(place, page)


def _held_grant(grant: EffectGrant | None, draft: ContextItem) -> EffectGrant:
    """The grant, where it covers this draft; only a disposable place needs no approval."""
    if grant is None:
        raise refusal(Code.GATE_REFUSED, "nothing is published without a grant")
    if grant.approved_digest is None:
        if grant.target.startswith("scratch:"):
            return grant
        raise refusal(
            Code.GATE_REFUSED, f"{grant.target} is no disposable place, and nobody approved the page"
        )
    handed = draft.artifact.digest if draft.artifact else "no artifact"
    if handed != grant.approved_digest:
        raise refusal(Code.GATE_REFUSED, f"approved was {grant.approved_digest}, and the draft is {handed}")
    return grant


def _page(task: Task, item: ContextItem, grant: EffectGrant) -> Page:
    checked = [CheckedClaims.model_validate_json(task.read(each)) for each in task.items("claims")]
    draft = Draft.model_validate_json(task.read(item))
    assignment = task.handoff.assignment
    return Page(draft, sources_of(checked), assignment.first_job, grant.key, assignment.replaces)
