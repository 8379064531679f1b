"""One role in the foreground: api, orchestrator, worker, upkeep, beat, flower, simulator."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

FLOWER_PORT = 5555

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=1, max=65535, help="Serve this process's own figures on this port of loopback."
    ),
]


def api(
    port: Annotated[
        int | None, typer.Option("--port", help="The port to listen on; by default 8400.")
    ] = None,
) -> None:
    """Serve the HTTP API: intake, reads, approvals, metrics.

    It listens on loopback, since it has no authentication yet. Example: fleet api --port 8500
    """
    from orchestrator.api.serving import serve_api
    from orchestrator.settings import Settings

    settings = Settings()
    serve_api(settings if port is None else settings.model_copy(update={"api_port": port}))


def orchestrator(metrics_port: MetricsPort = None) -> None:
    """Run the loop that decides what happens next. One leads, others stand by.

    Example: fleet orchestrator --metrics-port 9101
    """
    from orchestrator.settings import Settings
    from orchestrator.wiring import run_orchestrator

    run_orchestrator(Settings(), metrics_port)


def worker(
    lanes: Annotated[
        str,
        typer.Option(
            "--lanes", metavar="A,B", help="The lanes to serve, all of one regime; see `fleet lanes`."
        ),
    ],
    slots: Annotated[int | None, typer.Option("--slots", min=1, help="Attempts worked on at once.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The node's name; by default its lanes.")] = None,
    no_events: Annotated[
        bool, typer.Option("--no-events", help="Tell Flower nothing, for lanes of very many short tasks.")
    ] = False,
    metrics_port: MetricsPort = None,
) -> None:
    """Run a worker for some lanes. Only workers hold vendor keys.

    Example: fleet worker --lanes A,B
    """
    _become(
        "workers",
        *(["--no-events"] if no_events else []),
        **{"--lanes": lanes, "--slots": slots, "--name": name, "--metrics-port": metrics_port},
    )


def upkeep(metrics_port: MetricsPort = None) -> None:
    """Run the worker of the fleet's own maintenance.

    Example: fleet upkeep --metrics-port 9103
    """
    from orchestrator.settings import Settings
    from orchestrator.wiring import run_upkeep

    run_upkeep(Settings(), metrics_port)


def beat() -> None:
    """Run the clock that makes maintenance. Two of them are safe: a tick is taken once.

    Example: fleet beat
    """
    from orchestrator.settings import Settings
    from orchestrator.wiring import run_beat

    run_beat(Settings())


def flower(
    port: Annotated[int, typer.Option("--port", help="The port to listen on.")] = FLOWER_PORT,
) -> None:
    """Show workers and tasks in a browser, on loopback and read-only.

    Example: fleet flower --port 5556
    """
    from orchestrator.settings import Settings
    from orchestrator.wiring import run_flower

    run_flower(Settings(), port)


def simulator(
    port: Annotated[int, typer.Option("--port", help="The port to listen on; 0 takes any free one.")] = 0,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on, where its callers are on other hosts.")
    ] = "127.0.0.1",
    seed: Annotated[int | None, typer.Option("--seed", help="The chance of this run.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A JSON file of limits, latency, errors.")
    ] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Append each request to this file.")] = None,
) -> None:
    """Pretend to be the vendors, for a fleet without keys.

    Example: fleet simulator --port 8401 --seed 7
    """
    options = {"--host": host, "--port": port, "--seed": seed, "--config": config, "--ledger": ledger}
    _become("workers.simulator", **options)


def migrate() -> None:
    """Bring the ledger to this version. Every role refuses to start on another.

    Example: FLEET_DATABASE_URL=postgresql+psycopg://… fleet migrate
    """
    from orchestrator.settings import Settings
    from orchestrator.wiring import migrate as bring_up_to_date

    typer.echo(f"the ledger is at version {bring_up_to_date(Settings())}")


def _become(module: str, *flags: str, **options: object) -> None:
    """Replaces this process: the orchestrator's code never imports what runs there."""
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *flags, *given])
