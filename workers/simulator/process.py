"""The simulator as a process: its arguments, its one line of output, its server."""

import argparse
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn

from workers.simulator.app import simulator_app
from workers.simulator.settings import NO_ERRORS, Settings
from workers.simulator.transport import ResettableProtocol

IDLE_CONNECTION_SECONDS = 120
SHUTDOWN_SECONDS = 1
"""A hanging answer (a scripted timeout) must not hold up the end of the process."""


class AnnouncingServer(uvicorn.Server):
    """Says where it listens as soon as it does, in one line on standard output."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.servers:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        sys.stdout.write(f"simulator listening on http://{host}:{port}\n")
        sys.stdout.flush()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; see each option's help."""
    parser = argparse.ArgumentParser(prog="workers.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0 picks a free one")
    parser.add_argument(
        "--seed", type=int, help="the chance of this run; the same seed gives the same answers"
    )
    parser.add_argument("--config", type=Path, help="JSON file of settings")
    parser.add_argument("--ledger", type=Path, help="JSONL file to which each request is appended")
    parser.add_argument("--errors", choices=("default", "none"), default="default", help="seeded errors")
    return parser.parse_args(given)


def chosen_settings(options: argparse.Namespace) -> Settings:
    """Settings of the file, overruled by what the command line says."""
    settings = Settings.read(options.config) if options.config else Settings()
    if options.seed is not None:
        settings = replace(settings, seed=options.seed)
    return replace(settings, errors=NO_ERRORS) if options.errors == "none" else settings


def main(given: Sequence[str] | None = None) -> None:
    """Serve until told to end."""
    options = arguments(given)
    config = uvicorn.Config(
        simulator_app(chosen_settings(options), options.ledger),
        host=options.host,
        port=options.port,
        http=ResettableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    AnnouncingServer(config).run()
