"""The gate before publishing: declared repairs first, then the publishing contract, rule by rule."""

from contracts.brief import CheckedClaims, Draft
from contracts.failures import Code
from workers.site.contract import Candidate, broken_rules
from workers.site.place import reached, site_of
from workers.site.posts import reading
from workers.site.refusal import refusal
from workers.site.repairs import repaired
from workers.site.sources import sources_of
from workers.task import Task


def eligibility(task: Task) -> Draft:
    """The draft after the declared repairs, where it satisfies every rule of workers.site.contract.

    Raises HandlerFailure: ineligible that names every broken rule, store_unreachable. A booking link is not part of
    a brief, so the rule of the essay's contract that asks for one is left out.
    """
    assignment = task.handoff.assignment
    draft = Draft.model_validate_json(task.read(task.item("draft")))
    checked = [CheckedClaims.model_validate_json(task.read(item)) for item in task.items("claims")]
    site = site_of(task.settings, assignment)
    with reached(site), reading(site.posts) as posts:
        own = (assignment.first_job, assignment.replaces)
        taken = frozenset(post.slug for post in posts.all() if post.job not in own)
    mended = repaired(draft, taken)
    broken = broken_rules(Candidate(mended, sources_of(checked), taken, site.images()))
    if broken:
        raise refusal(
            Code.INELIGIBLE, "the draft may not be published: " + "; ".join(broken.values()), broken
        )
    return mended
