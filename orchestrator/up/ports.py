"""Ports of this machine."""

import socket

from orchestrator.up.trouble import CannotStart

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen there now; a connection that is still closing does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
        return True


def require_free(port: int, what: str, option: str) -> int:
    """The port itself; raises CannotStart if somebody listens there."""
    if not is_free(port):
        raise CannotStart(
            f"port {port} on {LOOPBACK} is taken, so {what} cannot listen there; "
            f"choose another with {option} PORT"
        )
    return port
