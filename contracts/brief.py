"""The payloads of the brief: claims with quotes, checked claims, drafts, and the page they become."""

from typing import ClassVar

from pydantic import Field, field_validator

from contracts.artifacts import Digest, Document
from contracts.base import Contract, Fact, Payload


class Inputs(Contract):
    """What a job of ``brief`` or ``summary`` needs."""

    contract: ClassVar[str] = "brief.Inputs@1"

    question: str = Field(min_length=8, max_length=1000)
    documents: tuple[Document, ...] = Field(min_length=1, max_length=200)

    @field_validator("documents")
    @classmethod
    def _told_apart(cls, documents: tuple[Document, ...]) -> tuple[Document, ...]:
        names = [document.name for document in documents]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"documents are told apart by their names, and {', '.join(twice)} stands twice")
        return documents


class Claim(Contract):
    """One statement of a document that helps to answer the question."""

    claim: str = Field(min_length=1, max_length=500, description="the statement, in one sentence")
    quote: str = Field(
        min_length=1, max_length=600, description="the passage of the document that says so, copied verbatim"
    )
    confidence: float = Field(ge=0, le=1, description="how sure you are that the quote supports the claim")


class Claims(Payload):
    """What a researcher found in one document."""

    contract: ClassVar[str] = "brief.Claims@1"

    claims: tuple[Claim, ...] = Field(max_length=12)
    open_questions: tuple[str, ...] = Field(
        default=(), max_length=8, description="what the document leaves open with respect to the question"
    )

    def headline(self) -> str:
        return f"{len(self.claims)} claim(s), {len(self.open_questions)} open question(s)"

    def stated_confidence(self) -> float | None:
        return min((claim.confidence for claim in self.claims), default=0.0)

    def stated_questions(self) -> tuple[str, ...]:
        return self.open_questions

    def facts(self) -> dict[str, Fact]:
        return {"claims": len(self.claims)}


class CheckedClaim(Claim):
    """A claim whose quote was found in its artifact."""

    id: str = Field(description="the name under which a draft cites it")
    offset: int = Field(ge=0, description="where the quote begins in the document, in characters")
    length: int = Field(ge=1, description="how many characters of the document the quote covers")


class StruckClaim(Claim):
    """A claim that was taken out, and why."""

    reason: str


class CheckedClaims(Payload):
    """The claims of one document that survived the check of their quotes."""

    contract: ClassVar[str] = "brief.CheckedClaims@1"

    document: str
    digest: Digest
    claims: tuple[CheckedClaim, ...]
    struck: tuple[StruckClaim, ...] = ()
    open_questions: tuple[str, ...] = ()

    def headline(self) -> str:
        return f"{self.document}: {len(self.claims)} quote(s) stand, {len(self.struck)} struck"

    def render(self) -> str:
        lines = [f"{claim.id}: {claim.claim}\n  quote: {claim.quote}" for claim in self.claims]
        lines += [f"open: {question}" for question in self.open_questions]
        return "\n".join(lines)

    def stated_confidence(self) -> float | None:
        return min((claim.confidence for claim in self.claims), default=0.0)

    def stated_questions(self) -> tuple[str, ...]:
        return self.open_questions

    def facts(self) -> dict[str, Fact]:
        return {"document": self.document, "claims": len(self.claims), "struck": len(self.struck)}


class Draft(Payload):
    """A page before it is published. Its limits stand in the publishing contract and not here, so that a
    review can object to what a first pass got wrong."""

    contract: ClassVar[str] = "brief.Draft@1"

    title: str = Field(description="the page's title, at most 120 characters")
    slug: str = Field(description="lower-case words joined by hyphens, for the page's address")
    description: str = Field(description="what the page says, for lists and search results")
    body: str = Field(description="the page in Markdown; each statement cites its claims as [claim id]")
    citations: tuple[str, ...] = Field(description="the ids of all claims that the body cites")
    confidence: float = Field(ge=0, le=1, description="how sure you are that the page answers the question")

    def headline(self) -> str:
        return f"“{self.title}”, {len(self.body.split())} words, {len(self.citations)} citation(s)"

    def render(self) -> str:
        return (
            f"title: {self.title}\nslug: {self.slug}\ndescription: {self.description}\n"
            f"citations: {', '.join(self.citations)}\n\n{self.body}"
        )

    def stated_confidence(self) -> float | None:
        return self.confidence

    def facts(self) -> dict[str, Fact]:
        return {
            "title": self.title,
            "slug": self.slug,
            "words": len(self.body.split()),
            "citations": len(self.citations),
        }


class Published(Payload):
    """Where a page stands after it was published."""

    contract: ClassVar[str] = "site.Published@1"

    slug: str
    path: str
    """The page's HTML file, relative to the root under which the sites stand."""
    page_digest: Digest
    posts: int = Field(ge=1)
    """How many posts the index lists now."""

    def headline(self) -> str:
        return f"published as {self.path}"

    def facts(self) -> dict[str, Fact]:
        return {"slug": self.slug, "path": self.path, "page_digest": self.page_digest, "posts": self.posts}


class Verified(Payload):
    """What was read back from the world after an effect."""

    contract: ClassVar[str] = "site.Verified@1"

    slug: str
    path: str
    page_digest: Digest
    checks: tuple[str, ...] = Field(min_length=1)
    """What was compared, a sentence each."""

    def headline(self) -> str:
        return f"{self.path} stands as approved ({len(self.checks)} checks)"

    def facts(self) -> dict[str, Fact]:
        return {"slug": self.slug, "path": self.path, "page_digest": self.page_digest, "verified": True}
