"""`fleet up`: everything on this machine, until Ctrl-C."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.screen import card, complaints, console
from orchestrator.cli.version import version

if TYPE_CHECKING:
    from orchestrator.up.fleet import Fleet

StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="DIR", help="Where everything is kept; by default FLEET_STATE_DIR or .state."
    ),
]


def up(
    port: Annotated[int | None, typer.Option("--port", help="The API's port; by default 8400.")] = None,
    flower_port: Annotated[
        int | None, typer.Option("--flower-port", help="Flower's port; by default 5555, or a free one.")
    ] = None,
    state_dir: StateDirOption = None,
) -> None:
    """Run the whole fleet on this machine until Ctrl-C, which drains it; a second Ctrl-C kills.

    Without FLEET_BROKER_URL a broker is embedded, without FLEET_DATABASE_URL the ledger is a file, and without
    any vendor key every vendor is simulated. Example: fleet up --port 8500 --state-dir /var/tmp/fleet
    """
    from orchestrator.settings import Settings
    from orchestrator.up.fleet import Wishes, running
    from orchestrator.up.signals import Interrupted, Signals

    out, settings = console(), Settings()
    wishes = Wishes(
        state_dir=state_dir or settings.state_dir,
        api_port=port or settings.api_port,
        flower_port=flower_port or _usual_flower_port(),
        catalog=settings.catalog,
    )
    with Signals.heard() as signals:
        try:
            with running(
                wishes, lambda sentence: complaints().print(sentence, markup=False), signals
            ) as fleet:
                _introduce(fleet)
                out.print(f"[bold green]ready in {fleet.await_ready(signals):.1f} s[/]; Ctrl-C drains")
                while True:
                    signals.pause(0.2)
        except Interrupted:
            out.print("drained" if not signals.in_a_hurry() else "ended at once")


def _usual_flower_port() -> int | None:
    from orchestrator.cli.roles import FLOWER_PORT
    from orchestrator.up.ports import is_free

    return FLOWER_PORT if is_free(FLOWER_PORT) else None


def _introduce(fleet: "Fleet") -> None:
    from orchestrator.settings import Settings
    from orchestrator.up.access import how_vendors_answer

    addresses = fleet.addresses
    elsewhere = addresses.api_url != Settings.model_fields["api_url"].default
    out = console()
    out.print(f"[bold]fleet {version()}[/] starts")
    out.print(
        card(
            [
                ("API", f"{addresses.api_url}, described at {addresses.api_url}/docs"),
                ("Flower", addresses.flower_url),
                ("vendors", how_vendors_answer(os.environ)),
                ("broker", "embedded" if not os.environ.get("FLEET_BROKER_URL") else "FLEET_BROKER_URL"),
                ("state", str(fleet.state.root)),
                ("logs", f"{fleet.state.logs}/<role>.log"),
                ("elsewhere", f"export FLEET_API_URL={addresses.api_url}" if elsewhere else ""),
            ]
        )
    )
