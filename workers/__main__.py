"""``python -m workers --lanes a,b``: a Celery worker for lanes of one regime."""

import argparse
import logging
import os
import socket
import sys

from prometheus_client import start_http_server
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contracts.catalog import CatalogError
from contracts.lanes import Lane, Regime
from orchestrator.door import LedgerUnreachable, WrongVersion, check_ledger, open_door, worker_paces
from workers.app import WorkerPlan, make_app

WAITING_SLOTS = 16
SWITCH_SECONDS = 0.0005


def main(argv: list[str] | None = None) -> int:
    """Starts the worker and blocks until it is told to stop; 2 for arguments that cannot work, 1 where the
    ledger is away or of another version."""
    options = _arguments(argv)
    try:
        paces = worker_paces()
        lanes = _lanes(options.lanes, paces.lanes())
        accounts = paces.accounts()
    except ValidationError as wrong:
        own = [fault for fault in wrong.errors() if fault["type"] != "default_factory_not_called"]
        sys.stderr.write("; ".join(map(_told, own)) + "\n")
        return 2
    except (ValueError, CatalogError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        check_ledger()
    except (WrongVersion, LedgerUnreachable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.metrics_port is not None:
        try:
            _serve_metrics(options.metrics_port)
        except OSError as error:
            sys.stderr.write(f"--metrics-port {options.metrics_port}: {error.strerror}; choose another\n")
            return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(name)s: %(message)s")
    slots = options.slots or (os.cpu_count() or 2 if lanes[0].regime is Regime.COMPUTING else WAITING_SLOTS)
    node = f"{options.name or '+'.join(lane.lane for lane in lanes)}@{socket.gethostname()}"
    plan = WorkerPlan(
        node, lanes, accounts, slots, paces.broker_url, paces.heartbeat_seconds, paces.drain_seconds
    )
    os.environ.setdefault("REMAP_SIGTERM", "SIGTERM")
    # The thread that talks to the broker must not wait 5 ms, Python's default, for each turn among the others.
    sys.setswitchinterval(SWITCH_SECONDS)
    app = make_app(plan, open_door)
    app.conf.worker_send_task_events = not options.no_events
    app.conf.worker_soft_shutdown_timeout = plan.drain_seconds
    app.worker_main(
        [
            "worker",
            f"--hostname={plan.node}",
            f"--pool={plan.pool}",
            f"--concurrency={plan.slots}",
            "--without-gossip",
            "--without-mingle",
            *(["--without-heartbeat"] if options.no_events else []),  # Celery's, which only Flower hears
            "--loglevel=WARNING",
        ]
    )
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleet worker", description="Works the attempts of some lanes off.")
    parser.add_argument("--lanes", required=True, help="comma-separated, all of one regime")
    parser.add_argument("--slots", type=int, help="attempts worked on at the same time")
    parser.add_argument("--name", help="the node's name before the @; by default its lanes")
    parser.add_argument(
        "--no-events", action="store_true", help="tell Flower nothing, for lanes of very many short tasks"
    )
    parser.add_argument(
        "--metrics-port", type=int, help="serve this process's own figures on this port of loopback"
    )
    return parser.parse_args(argv)


def _serve_metrics(port: int) -> None:
    """Serves the figures of the parent process. Its children give the port back, or one that outlives it would keep
    the next worker from it."""
    server, _ = start_http_server(port, addr="127.0.0.1")
    os.register_at_fork(after_in_child=server.socket.close)


def _told(fault: ErrorDetails) -> str:
    """What is wrong with a variable of the environment."""
    name = f"FLEET_{fault['loc'][0]}: ".upper() if fault["loc"] else ""
    return name + fault["msg"].removeprefix("Value error, ")


def _lanes(wanted: str, known: dict[str, Lane]) -> tuple[Lane, ...]:
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"unknown lane {', '.join(unknown) or '(none)'}; known are: {', '.join(sorted(known))}"
        )
    lanes = tuple(known[name] for name in names)
    regimes = sorted({lane.regime.value for lane in lanes})
    if len(regimes) > 1:
        raise ValueError(f"lanes of one worker share a regime, and these are {' and '.join(regimes)}")
    if regimes == [Regime.UPKEEP.value]:
        raise ValueError("the upkeep lanes are served by `fleet upkeep`")
    return lanes


if __name__ == "__main__":
    sys.exit(main())
