"""The check of quotes: plain code looks every quote up in its document, and the model's word counts for nothing."""

import hashlib
import re

from contracts.artifacts import Digest
from contracts.brief import CheckedClaim, CheckedClaims, Claim, Claims, StruckClaim
from contracts.failures import Code, HandlerFailure
from contracts.handoffs import ContextItem
from workers.site.names import slugified
from workers.site.refusal import refusal
from workers.task import Task

LONGEST_NAME = 40
"""Characters of a document's name in the ids of its claims; every citation repeats them."""


def check(task: Task) -> CheckedClaims:
    """Keeps the claims whose quote stands in the document, each with where it was found, and strikes the others.

    Raises HandlerFailure: no_evidence where no claim is left, broken_handoff where the document is no text.
    """
    document = task.item("document")
    claims = Claims.model_validate_json(task.read(task.item("claims")))
    text, digest = _text(task, document)
    checked = sort_out(claims, text, document.source, digest)
    if not checked.claims:
        raise _no_evidence(checked)
    return checked


def sort_out(claims: Claims, text: str, document: str, digest: Digest) -> CheckedClaims:
    """The claims of one document, kept or struck, in their order; the kept ones are numbered from 1."""
    name = id_name(document, digest)
    kept: list[CheckedClaim] = []
    struck: list[StruckClaim] = []
    for claim in claims.claims:
        span = find_quote(claim.quote, text)
        if span is None:
            struck.append(StruckClaim(**claim.model_dump(), reason=_reason(claim, document)))
            continue
        offset, length = span
        fields = {**claim.model_dump(), "quote": " ".join(claim.quote.split())}
        kept.append(CheckedClaim(**fields, id=f"{name}-{len(kept) + 1}", offset=offset, length=length))
    return CheckedClaims(
        document=document,
        digest=digest,
        claims=tuple(kept),
        struck=tuple(struck),
        open_questions=claims.open_questions,
    )


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Where the quote first stands in the text: offset and length, in characters of the text as it is.

    Runs of white space count as equal to each other, and white space around the quote does not count;
    everything else, case included, must be the same. None where it does not stand there or is empty.
    """
    words = quote.split()
    if not words:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), text)
    return (match.start(), match.end() - match.start()) if match else None


def id_name(document: str, digest: Digest) -> str:
    """The front part of the ids of a document's claims, such as ``annual-report-pdf-3fa2b1``.

    A name that is a slug already stands for itself. Any other gets a piece of digest of name and content,
    because several names can make the same slug, and a check of one document does not see the others.
    """
    slug = slugified(document, LONGEST_NAME)
    if slug == document:
        return slug
    told_apart = hashlib.sha256(f"{document}\n{digest}".encode()).hexdigest()
    return f"{slug}-{told_apart[:6]}"


def _reason(claim: Claim, document: str) -> str:
    if not claim.quote.split():
        return "its quote is empty"
    return f"its quote does not stand in “{document}”, white space folded"


def _text(task: Task, document: ContextItem) -> tuple[str, Digest]:
    content = task.read(document)
    assert document.artifact is not None
    try:
        return content.decode(), document.artifact.digest
    except UnicodeDecodeError as error:
        sentence = f"“{document.source}” is no UTF-8 text: byte {error.start} cannot be read"
        raise refusal(Code.BROKEN_HANDOFF, sentence) from None


def _no_evidence(checked: CheckedClaims) -> HandlerFailure:
    evidence = {
        f"struck {number}": f"“{struck.quote.strip()[:200]}”: {struck.reason}"
        for number, struck in enumerate(checked.struck, start=1)
    }
    found = f"of {len(checked.struck)} claim(s) about “{checked.document}” no quote stands in it"
    none = f"no claim was made about “{checked.document}”"
    return refusal(Code.NO_EVIDENCE, found if checked.struck else none, evidence)
