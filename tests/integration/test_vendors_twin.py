"""A scripted vendor on a real socket: it answers with exactly the bytes it is told, and counts requests."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from workers.vendors.anthropic import Anthropic
from workers.vendors.google import Google
from workers.vendors.openai import OpenAI
from workers.vendors.port import ModelRequest, Vendor
from workers.vendors.transport import http_client

PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "google": "/gemini"}
ADAPTERS = {"anthropic": Anthropic, "openai": OpenAI, "google": Google}


@dataclass
class Seen:
    """One request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Twin:
    """Replies the same way to every request, until it is told otherwise."""

    reply: bytes = b""
    later: list[bytes] = field(default_factory=list)
    """What it replies once it has replied so."""
    silent_seconds: float = 0
    reset: bool = False
    seen: list[Seen] = field(default_factory=list)
    address: str = ""

    def answers(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/html" if isinstance(body, bytes) else "application/json"
        lines = {"content-type": kind, "content-length": str(len(raw)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.reply = f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + raw

    def answers_in_turn(self, *bodies: Any) -> None:
        """One body after the other, each with status 200."""
        for body in bodies:
            self.answers(200, body)
            self.later.append(self.reply)
        self.reply = self.later.pop(0)

    def handle(self, connection: socket.socket) -> None:
        with connection:
            stream = connection.makefile("rb")
            while line := stream.readline():
                self.seen.append(_request(line, stream))
                time.sleep(self.silent_seconds)
                if self.reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    stream.close()
                    return
                reply = self.reply
                self.reply = self.later.pop(0) if self.later else reply
                connection.sendall(reply)
                if b"connection: close" in reply:
                    stream.close()
                    return


def _request(line: bytes, stream: Any) -> Seen:
    headers: dict[str, str] = {}
    while (header := stream.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Seen(line.split()[1].decode(), headers, json.loads(body or b"{}"))


@contextmanager
def twin_on_a_socket() -> Iterator[Twin]:
    """A twin that listens on a free port of the loopback until the block ends."""
    twin = Twin()
    with socket.create_server(("127.0.0.1", 0)) as server:
        twin.address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(twin, connection), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield twin
        server.shutdown(socket.SHUT_RDWR)


def _quietly(twin: Twin, connection: socket.socket) -> None:
    try:
        twin.handle(connection)
    except OSError:
        # The client went away first, as it does after a timeout.
        return


def adapter(name: str, address: str) -> Vendor:
    """The real adapter with the real SDK, pointed at an address."""
    return ADAPTERS[name]("key-of-a-test", address + PATHS[name], http_client(through_proxies=False))


def a_request(timeout_seconds: float = 5.0) -> ModelRequest:
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
        "additionalProperties": False,
    }
    return ModelRequest(
        model="a-model",
        system="You say one word.",
        prompt="Say it.",
        schema=schema,
        schema_name="a_word",
        max_output_tokens=100,
        timeout_seconds=timeout_seconds,
        attempt="01ATTEMPT",
    )
