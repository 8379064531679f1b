"""What a page can cite: every checked claim under its id, with the document it stands in."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.artifacts import Digest
from contracts.brief import CheckedClaim, CheckedClaims
from contracts.failures import Code
from workers.site.refusal import refusal


@dataclass(frozen=True)
class Source:
    """One claim and where its quote was found."""

    claim: CheckedClaim
    document: str
    digest: Digest


def sources_of(checked: Iterable[CheckedClaims]) -> dict[str, Source]:
    """Every claim by its id.

    Raises HandlerFailure (ineligible) where one id means two claims: a reader could not tell which of them
    a sentence rests on.
    """
    sources: dict[str, Source] = {}
    for of_document in checked:
        for claim in of_document.claims:
            source = Source(claim, of_document.document, of_document.digest)
            if sources.setdefault(claim.id, source) != source:
                raise refusal(
                    Code.INELIGIBLE,
                    f"the id “{claim.id}” means two claims, of “{sources[claim.id].document}” and "
                    f"“{source.document}”; documents of one job need names of their own",
                )
    return sources
