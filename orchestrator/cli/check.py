"""`fleet check`: whether what is configured can work."""

from typing import Annotated

import typer

from orchestrator.cli.ending import FAILED
from orchestrator.cli.options import AsJson
from orchestrator.cli.screen import console, show_json, text


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
