"""A job that has a page to publish, with real files under a state directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.artifacts import digest_of
from contracts.base import Payload
from contracts.brief import CheckedClaim, CheckedClaims, Draft, Published, Verified
from contracts.handoffs import ContextItem, EffectGrant
from tests.doubles import Bench
from workers.handlers.site import publish, verify
from workers.site.place import Place
from workers.site.posts import Post, reading
from workers.task import Task

CLAIMS = CheckedClaims(
    document="wind power.txt",
    digest=digest_of(b"document"),
    claims=(
        CheckedClaim(
            claim="Wind turns the blades.",
            quote="the wind <turns> the blades",
            confidence=0.9,
            id="wind-1",
            offset=120,
            length=27,
        ),
        CheckedClaim(claim="Never cited.", quote="x", confidence=0.9, id="wind-2", offset=0, length=1),
    ),
)


def draft(**changes: Any) -> Draft:
    fields: dict[str, Any] = {
        "title": "How wind turns turbines",
        "slug": "how-wind-turns-turbines",
        "description": "What moves the blades of a turbine, and what that has to do with wind.",
        "body": "## Blades\n\nWind turns the blades [wind-1].",
        "citations": ("wind-1",),
        "confidence": 0.8,
    }
    return Draft(**(fields | changes))


@dataclass
class SiteJob:
    """A job with its page, at the step where it is published."""

    bench: Bench
    page: Draft
    claims: CheckedClaims = CLAIMS

    @property
    def place(self) -> Place:
        return Place(self.bench.state_dir, self.bench.state_dir / "sites" / "acme" / self.bench.portfolio)

    def handed(self) -> tuple[ContextItem, ...]:
        return self.bench.made("draft", self.page), self.bench.made("claims", self.claims)

    def grant(self, key: str = "") -> EffectGrant:
        """What the orchestrator grants once a person approved the page."""
        approved = self.handed()[0].artifact
        assert approved is not None
        target = f"site:acme/{self.bench.portfolio}"
        return EffectGrant(
            key=key or f"key of {self.bench.job}", target=target, approved_digest=approved.digest
        )

    def publishing(self, grant: EffectGrant | None = None) -> Task:
        return self.bench.task(*self.handed(), effect=grant or self.grant())

    def publish(self) -> Published:
        return publish(self.publishing())

    def verify(self, published: Payload) -> Verified:
        handed = self.bench.made("published", published), self.bench.made("draft", self.page)
        return verify(self.bench.task(*handed))

    def posts(self) -> list[Post]:
        with reading(self.place.posts) as posts:
            return posts.all()

    def html(self) -> str:
        return self.place.page(self.page.slug).read_text()


def site_job(state_dir: Path, job: str = "job-1", **changes: Any) -> SiteJob:
    return SiteJob(Bench(state_dir, job=job), draft(**changes))
