"""The vendors' addresses for batches, each in its vendor's own words."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from email import message_from_bytes
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.simulator.batches import Batches, Fate, Full, Item, Result, Submitted
from workers.simulator.call import Call, Inbound, Rejected, bearer
from workers.simulator.dialects import ANTHROPIC, GEMINI, OPENAI
from workers.simulator.dialects.dialect import Dialect
from workers.simulator.exchange import DOOR_FAILURES, Exchange
from workers.simulator.failure import Failure, FailureKind
from workers.simulator.faults import Fault
from workers.simulator.transport import Reset
from workers.simulator.visit import new_request_id

SUBMISSION = "the submission of a batch"
"""What a scripted fault sees as the prompt of one."""
RETRY_SECONDS = 60.0
"""What an account is told whose pool is full."""


def batch_routes(exchange: Exchange, batches: Batches) -> list[Route]:
    """Submission, looks and results of the three vendors."""
    anthropic, openai, gemini = _Anthropic(exchange, batches), _OpenAI(exchange, batches), _Gemini(batches)
    gemini_looks = [Route(f"/gemini/{version}/batches/{{name}}", gemini.look) for version in ("v1", "v1beta")]
    return [
        Route("/anthropic/v1/messages/batches", anthropic.submit, methods=["POST"]),
        Route("/anthropic/v1/messages/batches/{name}", anthropic.look),
        Route("/anthropic/v1/messages/batches/{name}/cancel", anthropic.cancel, methods=["POST"]),
        Route("/anthropic/v1/messages/batches/{name}/results", anthropic.results),
        Route("/openai/v1/files", openai.upload, methods=["POST"]),
        Route("/openai/v1/files/{name}/content", openai.download),
        Route("/openai/v1/batches", openai.submit, methods=["POST"]),
        Route("/openai/v1/batches/{name}", openai.look),
        *gemini_looks,
    ]


class Door:
    """What all vendors' submissions meet."""

    def __init__(self, exchange: Exchange, batches: Batches) -> None:
        self._exchange = exchange
        self._batches = batches

    def enter(
        self,
        dialect: Dialect,
        prefix: str,
        key: str,
        items: list[Item],
        told: Callable[[Submitted], dict[str, Any]],
    ) -> Response:
        """Takes a batch in and tells of it, or refuses it, or does so and hangs up."""
        model = str(items[0].inbound.model or items[0].inbound.body.get("model", "")) if items else ""
        if not key:
            return self._failed(dialect, Failure(FailureKind.NO_KEY, model))
        call = Call(dialect.vendor, key, model, "", SUBMISSION, None, None, None, None)
        scripted = self._exchange.script.take(call, 0)
        if scripted is not None and scripted.kind is not Fault.RESET:
            kind = DOOR_FAILURES.get(scripted.kind, FailureKind.SERVER_ERROR)
            return self._failed(dialect, Failure(kind, model, retry_after_seconds=scripted.retry_after))
        try:
            batch = self._batches.submit(dialect, prefix, key, items)
        except Rejected as rejected:
            return self._failed(dialect, Failure(FailureKind.INVALID, model, rejected.message))
        except Full:
            limit = self._exchange.settings.batches.queued_requests
            full = Failure(
                FailureKind.RATE_LIMITED, model, retry_after_seconds=RETRY_SECONDS, limit=float(limit)
            )
            return self._failed(dialect, full)
        if scripted is not None:
            return Reset()
        return JSONResponse(told(batch), headers=dialect.headers({}, new_request_id()))

    def _failed(self, dialect: Dialect, failure: Failure) -> Response:
        request_id = new_request_id()
        wire = dialect.failure(failure, request_id)
        return JSONResponse(wire.body, wire.status, dialect.headers({}, request_id) | wire.headers)


class _Anthropic:
    def __init__(self, exchange: Exchange, batches: Batches) -> None:
        self._door, self._batches = Door(exchange, batches), batches

    async def submit(self, request: Request) -> Response:
        listed = (await _body(request)).get("requests") or []
        headers = _headers(request)
        items = [Item(str(each["custom_id"]), Inbound(headers, {}, each["params"])) for each in listed]
        return self._door.enter(ANTHROPIC, "msgbatch_", _anthropic_key(request), items, _told_by(request))

    async def look(self, request: Request) -> Response:
        batch = self._found(request)
        return JSONResponse(_told_by(request)(batch)) if batch else _nothing(ANTHROPIC)

    async def cancel(self, request: Request) -> Response:
        batch = self._found(request)
        if batch is None:
            return _nothing(ANTHROPIC)
        batch.cancelled = True
        return await self.look(request)

    async def results(self, request: Request) -> Response:
        batch = self._found(request)
        if batch is None or batch.ended_at is None:
            return _nothing(ANTHROPIC)
        # The vendor gives them in no order; reversed, nobody comes to rely on one.
        lines = [_line({"custom_id": r.name, "result": _anthropic_result(r)}) for r in batch.results[::-1]]
        return Response("".join(lines), media_type="application/binary")

    def _found(self, request: Request) -> Submitted | None:
        return self._batches.get(ANTHROPIC, _anthropic_key(request), request.path_params["name"])


def _told_by(request: Request) -> Callable[[Submitted], dict[str, Any]]:
    """How Anthropic tells of a batch; the address of its results is a whole one."""

    def told(batch: Submitted) -> dict[str, Any]:
        ended = batch.ended_at is not None
        counts = {fate.value: batch.count(fate) for fate in Fate}
        address = str(request.base_url).rstrip("/") + f"/anthropic/v1/messages/batches/{batch.id}/results"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else len(batch.items), **counts},
            "created_at": batch.created_at.isoformat(),
            "expires_at": batch.expires_at.isoformat(),
            "ended_at": batch.ended_at.isoformat() if batch.ended_at else None,
            "archived_at": None,
            "cancel_initiated_at": batch.created_at.isoformat() if batch.cancelled else None,
            "results_url": address if ended else None,
        }

    return told


def _anthropic_key(request: Request) -> str:
    return request.headers.get("x-api-key") or bearer(_headers(request))


def _anthropic_result(result: Result) -> dict[str, Any]:
    if result.wire is None:
        return {"type": result.fate.value}
    return {
        "type": result.fate.value,
        "message" if result.fate is Fate.SUCCEEDED else "error": result.wire.body,
    }


class _OpenAI:
    def __init__(self, exchange: Exchange, batches: Batches) -> None:
        self._door, self._batches = Door(exchange, batches), batches

    async def upload(self, request: Request) -> Response:
        head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
        parts = message_from_bytes(head + await request.body()).walk()
        content = next((part.get_payload(decode=True) for part in parts if part.get_filename()), None)
        if not isinstance(content, bytes):
            return _nothing(OPENAI, 400, "there is no file in the form")
        name = f"file-{new_request_id()}"
        self._batches.keep(name, content)
        told = {"id": name, "object": "file", "bytes": len(content), "filename": "batch.jsonl"}
        return JSONResponse(told | {"purpose": "batch", "created_at": 0, "status": "processed"})

    async def download(self, request: Request) -> Response:
        content = self._batches.file(request.path_params["name"])
        return Response(content, media_type="application/binary") if content else _nothing(OPENAI)

    async def submit(self, request: Request) -> Response:
        body = await _body(request)
        content = self._batches.file(str(body.get("input_file_id")))
        if content is None or body.get("endpoint") != "/v1/responses":
            return _nothing(OPENAI, 400, "input_file_id and the endpoint /v1/responses are needed")
        headers = _headers(request)
        lines = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
        items = [Item(str(line["custom_id"]), Inbound(headers, {}, line["body"])) for line in lines]
        return self._door.enter(OPENAI, "batch_", bearer(headers), items, self._told)

    async def look(self, request: Request) -> Response:
        batch = self._batches.get(OPENAI, bearer(_headers(request)), request.path_params["name"])
        return JSONResponse(self._told(batch)) if batch else _nothing(OPENAI)

    def _told(self, batch: Submitted) -> dict[str, Any]:
        expired = batch.late and batch.ended_at is not None
        good = [r for r in batch.results if r.fate is Fate.SUCCEEDED]
        bad = [r for r in batch.results if r.fate is not Fate.SUCCEEDED]
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/responses",
            "input_file_id": "file-input",
            "completion_window": "24h",
            "status": ("expired" if expired else "completed") if batch.ended_at else "in_progress",
            "output_file_id": self._file(f"file-output-of-{batch.id}", good),
            "error_file_id": self._file(f"file-errors-of-{batch.id}", bad),
            "created_at": _seconds(batch.created_at),
            "expires_at": _seconds(batch.expires_at),
            "completed_at": _seconds(batch.ended_at) if batch.ended_at and not expired else None,
            "expired_at": _seconds(batch.ended_at) if batch.ended_at and expired else None,
            "request_counts": {"total": len(batch.items), "completed": len(good), "failed": len(bad)},
        }

    def _file(self, name: str, results: list[Result]) -> str | None:
        if not results:
            return None
        self._batches.keep(name, "".join(_line(_openai_result(result)) for result in results).encode())
        return name


def _openai_result(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"id": f"batch_req_{result.name}", "custom_id": result.name}
    if result.wire is None:
        late = "This request could not be executed before the completion window expired."
        return told | {"response": None, "error": {"code": "batch_expired", "message": late}}
    answered = {"status_code": result.wire.status, "request_id": new_request_id(), "body": result.wire.body}
    return told | {"response": answered, "error": None}


class _Gemini:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def look(self, request: Request) -> Response:
        batch = self._batches.get(GEMINI, _gemini_key(request), f"batches/{request.path_params['name']}")
        return JSONResponse(_gemini_told(batch)) if batch else _nothing(GEMINI)


def gemini_submission(
    exchange: Exchange, batches: Batches
) -> Callable[[Request, str | None], Awaitable[Response]]:
    """The method ``batchGenerateContent``, which stands in one path segment with the model."""
    door = Door(exchange, batches)

    async def submit(request: Request, model: str | None) -> Response:
        source = ((await _body(request)).get("batch") or {}).get("inputConfig") or {}
        listed = (source.get("requests") or {}).get("requests") or []
        headers = _headers(request)
        items = [
            Item(
                str((each.get("metadata") or {}).get("key", number)),
                Inbound(headers, dict(request.query_params), each["request"], model),
            )
            for number, each in enumerate(listed)
        ]
        return door.enter(GEMINI, "batches/", _gemini_key(request), items, _gemini_told)

    return submit


def _gemini_told(batch: Submitted) -> dict[str, Any]:
    ended = batch.ended_at is not None
    state = "BATCH_STATE_EXPIRED" if batch.late else "BATCH_STATE_SUCCEEDED"
    metadata: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": f"models/{batch.model}",
        "name": batch.id,
        "state": state if ended else "BATCH_STATE_PENDING",
        "createTime": batch.created_at.isoformat(),
    }
    if ended and not batch.late:
        inlined = {"inlinedResponses": [_gemini_result(result) for result in batch.results]}
        metadata |= {"output": {"inlinedResponses": inlined}}
    return {"name": batch.id, "metadata": metadata, "done": ended}


def _gemini_result(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"metadata": {"key": result.name}}
    if result.wire is None:
        late = {"code": 4, "message": "The request expired before it was processed."}
        return told | {"error": late}
    if result.fate is Fate.SUCCEEDED:
        return told | {"response": result.wire.body}
    error = result.wire.body["error"]
    # A batch gives the codes of gRPC, a live call those of HTTP.
    return told | {"error": {"code": _GRPC.get(error["code"], 2), "message": error["message"]}}


_GRPC = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14, 504: 4}


def _gemini_key(request: Request) -> str:
    return request.headers.get("x-goog-api-key") or request.query_params.get("key", "")


def _nothing(dialect: Dialect, status: int = 404, message: str = "there is no such batch") -> Response:
    wire = dialect.failure(Failure(FailureKind.INVALID, message=message), new_request_id())
    return JSONResponse(wire.body, status)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _headers(request: Request) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _line(told: dict[str, Any]) -> str:
    return json.dumps(told) + "\n"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
