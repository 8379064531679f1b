"""Brokers of a test's own, and a wire to a server that can go dead without being cut."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from orchestrator.up.broker import await_broker, broker_spec, broker_url
from orchestrator.up.ports import LOOPBACK, free_port
from orchestrator.up.statedir import StateDir


class Broker:
    """A server of the embedded kind, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = broker_url(self.port)
        self._spec = broker_spec(StateDir.opened(folder), self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._spec.command, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await_broker(self.port, time.sleep)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def own_broker(folder: Path) -> Iterator[Broker]:
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class Wire:
    """A TCP proxy. While it is `dead` it accepts and keeps every connection, and carries nothing."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server = socket.create_server((LOOPBACK, 0))
        self.port: int = self._server.getsockname()[1]
        self._alive = threading.Event()
        self._alive.set()
        self._carried: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def die(self) -> None:
        self._alive.clear()

    def live(self) -> None:
        self._alive.set()

    def close(self) -> None:
        """Lets nobody in any more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # else one more is let in by who waits already
        self._server.close()

    def cut(self) -> None:
        """Ends every connection."""
        for each in self._carried:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection((LOOPBACK, self._to))
                self._carried += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with closing(source), closing(target), suppress(OSError):
            while data := source.recv(65536):
                self._alive.wait()
                target.sendall(data)


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    made = Wire(port)
    try:
        yield made
    finally:
        made.live()
        made.close()


@contextmanager
def nobody_answers() -> Iterator[tuple[int, threading.Semaphore]]:
    """A port on which somebody listens and never answers, and a semaphore that counts who was let in."""
    let_in = threading.Semaphore(0)
    kept: list[socket.socket] = []

    def accept(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                kept.append(server.accept()[0])
                let_in.release()

    with socket.create_server((LOOPBACK, 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1], let_in
    for each in kept:
        each.close()
