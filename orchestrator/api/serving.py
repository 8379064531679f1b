"""Serving: the API as a process, on loopback for as long as it has no authentication."""

import os
import socket

import uvicorn

from orchestrator.api.app import create_app
from orchestrator.api.services import Services
from orchestrator.ledger import schema
from orchestrator.settings import Settings
from orchestrator.telemetry import configure_logging
from orchestrator.wiring import assemble

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class CannotServe(Exception):
    """The API cannot listen where it is told to."""


def serve_api(settings: Settings) -> None:
    """Serves until told to stop; raises CannotServe with one sentence."""
    if settings.api_host not in LOOPBACK:
        raise CannotServe(
            f"the API has no authentication yet and listens on loopback only, not on {settings.api_host}"
        )
    listening = listen(settings.api_host, settings.api_port)
    configure_logging("api")
    parts = assemble(settings)
    schema.check_version(parts.ledger)
    services = Services(
        ledger=parts.ledger,
        catalog=parts.catalog,
        store=parts.store,
        intake=parts.intake,
        settings=settings,
        ledger_figures=settings.api_ledger_figures,
    )
    config = uvicorn.Config(
        create_app(services), log_config=None, access_log=False, timeout_graceful_shutdown=5, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises CannotServe with one sentence."""
    try:
        bound = socket.create_server((host, port), backlog=256)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number) if number else "a port is a number from 0 to 65535"
        raise CannotServe(
            f"port {port} on {host} cannot be listened on ({why}); choose another with --port"
        ) from None
    # asyncio turns Nagle's algorithm off only for sockets that name TCP, which these do not: every answer
    # would take 40 ms
    return socket.socket(bound.family, bound.type, socket.IPPROTO_TCP, fileno=bound.detach())
