"""A proxy between the fleet and one of its servers, which can stop answering, lose one answer, or be gone."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from typing import Any

_NO_LINGER = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on, zero seconds: closing resets the connection."""
FILLS_A_QUEUE = 4
"""Connections that nobody takes: the first one fills the queue, the others make sure."""
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""How PostgreSQL's protocol spells it."""


class Proxy:
    """Forwards bytes on loopback from a port of its own, in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._pumps = set[asyncio.Task[None]]()
        self.withheld_bytes = 0
        """What was sent and had to wait while it hung."""
        self.lost_answers = 0
        self.refused = 0
        """Connections that found no server behind it."""
        self._to_lose = 0
        self._silent: list[socket.socket] = []
        self._flows.set()
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        self.port = self._do(self._listen())

    def hang(self) -> None:
        """Goes on accepting, and forwards nothing any more."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def resume(self) -> None:
        self._loop.call_soon_threadsafe(self._flows.set)

    def hung_for(self, seconds: float) -> int:
        """Hangs for so long; answers whether anything was sent meanwhile, as 1 or 0."""
        before = self.withheld_bytes
        self.hang()
        time.sleep(seconds)
        self.resume()
        return int(self.withheld_bytes > before)

    def shut(self) -> None:
        """Nobody listens any more, and who was connected is cut off."""
        self._do(self._end())

    def fall_silent(self) -> None:
        """Who was connected is cut off, and who connects waits: the queue of the socket that listens is full, and
        nobody takes anything from it. Of Linux, which then drops what asks for a connection."""
        self.shut()
        full = socket.socket()
        self._silent.append(full)
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.1", self.port))
        full.listen(0)
        for _ in range(FILLS_A_QUEUE):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
            self._silent.append(waiting)

    def listen_again(self) -> None:
        """After it was shut or fell silent."""
        self._unfill()
        self._do(self._listen(self.port))

    def _unfill(self) -> None:
        while self._silent:
            self._silent.pop().close()

    def lose_answers(self, commits: int) -> None:
        """The next commits reach the server; their answers are lost with the connections they were asked on."""
        self._to_lose = commits

    def close(self) -> None:
        self._unfill()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, act: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(10)

    async def _listen(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._flows.set()
        self._server.close()
        for pump in self._pumps:
            pump.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            self.refused += 1
            writer.close()
            return
        link = _Link(writer, there[1])
        for pump in (self._asks(link, reader), self._answers(link, there[0])):
            task = self._loop.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _asks(self, link: "_Link", reader: asyncio.StreamReader) -> None:
        async for data in self._read(link, reader):
            if self._to_lose and COMMIT in data:
                self._to_lose -= 1
                link.loses_answer = True
            link.server.write(data)

    async def _answers(self, link: "_Link", reader: asyncio.StreamReader) -> None:
        async for data in self._read(link, reader):
            if link.loses_answer:
                self.lost_answers += 1
                link.cut()
                return
            link.client.write(data)

    async def _read(self, link: "_Link", reader: asyncio.StreamReader) -> Any:
        try:
            while data := await reader.read(65536):
                if not self._flows.is_set():
                    self.withheld_bytes += len(data)
                    await self._flows.wait()
                yield data
        except OSError:
            link.reset()
        finally:
            link.cut()


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.loses_answer = False

    def reset(self) -> None:
        """One side was reset, and so is the other."""
        for side in (self.client, self.server):
            if not side.is_closing():
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                side.transport.abort()

    def cut(self) -> None:
        self.client.close()
        self.server.close()
