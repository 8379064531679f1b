"""The limit on request bodies: what is larger is refused by name, before it is all in memory."""

from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.documents import document, response
from orchestrator.problems import TooLarge


class _Exceeded(Exception):
    """More bytes came than are allowed."""


class BodyLimit:
    """Middleware that counts bytes, since a chunked body does not say its length beforehand."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._announced(scope) > self._max_body_bytes:
            await self._refuse(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever the app makes of a body that was cut off, the limit is the answer."""
        taken, exceeded, started = 0, False, False

        async def counting() -> Message:
            nonlocal taken, exceeded
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._max_body_bytes:
                exceeded = True
                raise _Exceeded
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            if not exceeded:
                started = True
                await send(message)

        with suppress(_Exceeded):
            await self._app(scope, counting, sending)
        if exceeded and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"the body is larger than {self._max_body_bytes} bytes, which is the limit"
        problem = document("too-large", TooLarge.title, TooLarge.status, detail, scope["path"])
        await response(problem, {"Connection": "close"})(scope, receive, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else 0
