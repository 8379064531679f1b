"""`fleet check`: whether what is configured can work."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.ending import FAILED
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import console, show_json, text

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def check(
    invariants: Annotated[
        bool, typer.Option("--invariants", help="Also hold the ledger against its invariants.")
    ] = False,
    catalog_only: Annotated[
        bool, typer.Option("--catalog-only", help="Validate the catalog's files and reach nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Validate settings and catalog, and reach every dependency. The exit code is 0 only if all is well.

    Example: fleet check --invariants
    """
    from orchestrator.settings import Settings

    settings = Settings()
    if catalog_only:
        from orchestrator.catalog_files import load_catalog

        catalog = load_catalog(settings.catalog)
        counts = {name: len(getattr(catalog, name)) for name in type(catalog).model_fields}
        if as_json:
            return show_json(counts)
        listing = ", ".join(f"{count} {name}" for name, count in counts.items())
        return console().print(f"the catalog holds: {listing}")
    return _full(settings, invariants, as_json)


def _with_embedded_broker(settings: "Settings") -> "Settings":
    """Where no broker is named, the one that `fleet up` has embedded in the same state directory."""
    from orchestrator.up.statedir import broker_of

    if os.environ.get("FLEET_BROKER_URL"):
        return settings
    embedded = broker_of(settings.state_dir)
    return settings.model_copy(update={"broker_url": embedded}) if embedded else settings


def _full(settings: "Settings", invariants: bool, as_json: bool) -> None:
    from orchestrator.checking import check as run

    findings = run(_with_embedded_broker(settings), invariants)
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]NO[/]"
            console().print(f"{mark}  {finding.subject}: ", text(finding.sentence), sep="")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)
