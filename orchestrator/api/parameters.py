"""Parameters that endpoints share, each with the shape it must have."""

from typing import Annotated

from fastapi import Header, Path, Query

from orchestrator.problems import ID, KEY, LONGEST_KEY, WORD
from orchestrator.reads.paging import DEFAULT_LIMIT, LARGEST_LIMIT

Id = Annotated[str, Path(pattern=ID, description="an id")]
IdOrPrefix = Annotated[str, Path(pattern=ID, description="an id, or at least its first six characters")]
Digest = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="how many items a page has")]
Cursor = Annotated[str | None, Query(max_length=400, description="next_cursor of the page before")]
Word = Annotated[str | None, Query(max_length=64, pattern=WORD)]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY, pattern=KEY),
]

__all__ = ["DEFAULT_LIMIT", "Cursor", "Digest", "Id", "IdOrPrefix", "Key", "Limit", "Word"]
