"""`fleet webhook-secret`: the secret with which a tenant verifies what the fleet calls it with."""

from typing import Annotated

import typer

from orchestrator.cli.screen import console, text


def webhook_secret(
    tenant: Annotated[str, typer.Argument(help="The tenant, as its jobs name it.")],
) -> None:
    """Print the secret that signs a tenant's webhooks (Standard Webhooks), made at first use.

    It reads the ledger itself, so it works only where FLEET_DATABASE_URL or FLEET_STATE_DIR leads there.
    Example: FLEET_STATE_DIR=.state fleet webhook-secret acme
    """
    from orchestrator.ledger import schema
    from orchestrator.ledger.engine import Ledger
    from orchestrator.settings import Settings
    from orchestrator.webhooks import secret_of

    ledger = Ledger(Settings().ledger_url)
    schema.check_version(ledger)
    console().print(text(secret_of(ledger, tenant)))
