"""Patience: a request is not held for a ledger that has gone. Where it takes long, a connection of its own asks
whether the database answers at all; one that is only slow is waited for."""

import asyncio
import threading
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.documents import document, response

PATIENCE_SECONDS = 0.9
"""How long a request may take before it is asked why."""
ANSWER_SECONDS = 0.7
"""How long the database may take to answer that. Together they are less than two seconds."""
RETRY_AFTER_SECONDS = 5


class Patience:
    """Middleware that answers 503 in the place of a request that waits for a ledger which does not answer."""

    def __init__(self, app: ASGIApp, answers: Callable[[], bool]) -> None:
        """`answers` asks the database, blocking, for however long that takes."""
        self._app = app
        self._asking = _Asking(answers)
        self._given_up: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = given_up = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if not given_up:
                begun = True
                await send(message)

        working = asyncio.ensure_future(self._app(scope, receive, sending))
        try:
            while not (await asyncio.wait({working}, timeout=PATIENCE_SECONDS))[0] and not begun:
                if not await self._asking.answered(ANSWER_SECONDS) and not begun:
                    given_up = True
                    self._given_up.add(working)  # it ends when the database does, unheard
                    working.add_done_callback(self._forget)
                    await _refuse(scope, receive, send)
                    return
            await working
        except asyncio.CancelledError:
            working.cancel()
            raise

    def _forget(self, ended: "asyncio.Task[None]") -> None:
        self._given_up.discard(ended)
        if not ended.cancelled():
            ended.exception()  # nobody is left to hear of it


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = (
        "the ledger is unreachable: it does not answer; whether this was accepted is not known, and sending it again "
        "with the same Idempotency-Key accepts it once"
    )
    problem = document("unavailable", "the ledger does not answer", 503, detail, scope["path"])
    await response(problem, {"Retry-After": str(RETRY_AFTER_SECONDS)})(scope, receive, send)


class _Asking:
    """Asks the database, once at a time for all who wait for it."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._asked: asyncio.Future[bool] | None = None

    async def answered(self, seconds: float) -> bool:
        """Whether it answered within so many seconds."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            # A thread that nothing waits for, at the process's end least of all.
            asking = threading.Thread(target=self._ask, args=(self._asked,), name="asking", daemon=True)
            asking.start()
        asked = self._asked
        done, _ = await asyncio.wait({asked}, timeout=seconds)
        return bool(done) and asked.result()

    def _ask(self, asked: "asyncio.Future[bool]") -> None:
        found = self._answers()
        asked.get_loop().call_soon_threadsafe(asked.set_result, found)
