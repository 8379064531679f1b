"""The way from the command line to a running fleet."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.client import FleetClient

DEFAULT_URL = "http://127.0.0.1:8400"


def fleet() -> "FleetClient":
    """A client of the fleet that FLEET_API_URL names."""
    from orchestrator.client import FleetClient

    return FleetClient(os.environ.get("FLEET_API_URL") or DEFAULT_URL, os.environ.get("FLEET_API_KEY"))
