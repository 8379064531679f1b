"""Connections that can be reset in the middle of an exchange, as a vendor's load balancer does."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_RESET = "simulator.reset"
_DROPS = 20
_LINGER_NOT = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on, zero seconds: closing sends RST instead of FIN."""


class ResettableProtocol(H11Protocol):
    """HTTP/1.1 whose scope carries a function that resets the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner: Callable[..., Any] = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_RESET] = lambda: _reset(transport)
            await inner(scope, receive, send)

        self.app = app


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():  # the caller may have hung up meanwhile
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


class Reset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_RESET]()
        # The server learns of the loss in the loop's next turns; without them it would log a missing answer.
        await asyncio.sleep(0.01)


class Silence(Response):
    """No answer for so many seconds, or until the caller hangs up."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                while (await receive())["type"] != "http.disconnect":
                    continue
        except TimeoutError:
            scope[_RESET]()
            await asyncio.sleep(0.01)


class Torn(Response):
    """Half of an answer, then the connection is reset."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _begin(self.answer, send)
        body = bytes(self.answer.body)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        # What is on its way arrives first: a reset throws away what was not sent yet.
        await asyncio.sleep(0.05)
        scope[_RESET]()
        await asyncio.sleep(0.01)


class Drip(Response):
    """A whole answer that comes a few bytes at a time, over so many seconds."""

    def __init__(self, answer: Response, seconds: float) -> None:
        super().__init__()
        self.answer = answer
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _begin(self.answer, send)
        body = bytes(self.answer.body)
        drop = len(body) // _DROPS + 1
        for start in range(0, len(body), drop):
            await asyncio.sleep(self.seconds / _DROPS)
            await send({"type": "http.response.body", "body": body[start : start + drop], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _begin(answer: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
