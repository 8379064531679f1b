"""Artifacts: handing bytes over once, and opening what stands behind a summary."""

import re

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from contracts.artifacts import ArtifactRef
from orchestrator.api.parameters import Digest
from orchestrator.api.services import Services, With
from orchestrator.ledger import artifacts
from orchestrator.ledger.clock import now
from orchestrator.ledger.tables import artifact
from orchestrator.problems import Malformed, NotFound

router = APIRouter(tags=["artifacts"])
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+( *; *[\w-]+=[\w.\"+-]+)*", re.ASCII)
LONGEST_MEDIA_TYPE = 100


@router.put("/artifacts", status_code=201)
async def upload(services: With, request: Request, response: Response) -> ArtifactRef:
    """Keeps the body under its digest; 200 where the same bytes were there already."""
    media_type = request.headers.get("content-type", "application/octet-stream")
    if len(media_type) > LONGEST_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(media_type):
        raise Malformed(f"Content-Type: it must be a media type of at most {LONGEST_MEDIA_TYPE} characters")
    content = await request.body()
    if not content:
        raise Malformed("the body: it is empty, and an artifact has at least one byte")
    ref, created = await run_sync(_keep, services, content, media_type)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/artifacts/{ref.digest}"
    return ref


@router.get("/artifacts/{digest}", response_class=Response)
def download(services: With, digest: Digest) -> Response:
    """The bytes. Browsers are told to run nothing in them, since anyone may have uploaded them."""
    with services.ledger.read() as connection:
        row = connection.execute(select(artifact).where(artifact.c.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(f"no artifact {digest} is in the ledger")
    headers = {
        "ETag": f'"{digest}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Response(services.store.get(digest), media_type=row.media_type, headers=headers)


def _keep(services: Services, content: bytes, media_type: str) -> tuple[ArtifactRef, bool]:
    ref = services.store.put(content, media_type)
    try:
        return _noted(services, ref)
    except IntegrityError:
        return _noted(services, ref)  # another upload of the same bytes was first


def _noted(services: Services, ref: ArtifactRef) -> tuple[ArtifactRef, bool]:
    """What the ledger knows of these bytes; the first upload says what they are."""
    known = select(artifact.c.media_type).where(artifact.c.digest == ref.digest)
    with services.ledger.write() as connection:
        media_type = connection.execute(known).scalar_one_or_none()
        if media_type is None:
            artifacts.note(connection, [ref.model_dump(mode="json")], now(connection))
            return ref, True
    return ref.model_copy(update={"media_type": media_type}), False
