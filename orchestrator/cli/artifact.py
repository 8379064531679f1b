"""`fleet artifact`: the bytes behind a digest."""

import sys
from typing import Annotated

import typer

from orchestrator.cli.link import fleet


def artifact(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="As shown: sha256:…, whole.")],
) -> None:
    """Print an artifact: a document, what a vendor was asked, what it answered, what a subtask delivered.

    Example: fleet artifact sha256:171c608c0e2f6a21b2c8a8e1b8a1f0d0b7a4c3f2e1d09f8e7d6c5b4a39281706 | jq
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(fleet().artifact(digest))
    sys.stdout.buffer.flush()
