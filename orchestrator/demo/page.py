"""The page in words: what was published, out of the artifact that was approved."""

import json
from dataclasses import dataclass

from orchestrator.client import FleetClient
from orchestrator.reads.outcomes import JobRead

DRAFT = "brief.Draft@1"


@dataclass(frozen=True)
class Page:
    title: str
    description: str
    opening: str
    """Its first paragraph, with the claims that it cites."""


def page_of(client: FleetClient, job: JobRead) -> Page | None:
    """The last draft that the job delivered, which is the one that was published; None if there is none."""
    drafts = [output for output in job.artifacts if output.contract == DRAFT]
    if not drafts:
        return None
    draft = json.loads(client.artifact(drafts[-1].artifact.digest))
    return Page(draft["title"], draft["description"], draft["body"].strip().split("\n\n")[0])
