"""Problem documents (RFC 9457): how every refusal looks."""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from orchestrator.reads.base import Read

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(Read):
    """A refusal. `detail` is one sentence for a person; `type` names the kind for a program."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """The path that was asked."""


def document(kind: str, title: str, status: int, detail: str, path: str) -> ProblemDocument:
    sentence = " ".join(detail.split())
    return ProblemDocument(
        type=f"urn:fleet:problem:{kind}", title=title, status=status, detail=sentence, instance=path
    )


def response(problem: ProblemDocument, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(), status_code=problem.status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )
