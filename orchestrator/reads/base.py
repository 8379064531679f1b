"""The base of everything that is shown, and how times are shown."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict


class Read(BaseModel):
    """Immutable and plain. Unknown fields are skipped, so that older clients read newer answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as the time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
