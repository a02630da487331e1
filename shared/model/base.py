"""The two kinds of plain data: documents that are kept, and requests that come in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer


class Document(BaseModel):
    """Data that is kept in Blob Storage or passed between activities.

    A field that this version does not know is ignored, so that an older reader (a command line on some
    laptop) can still restore from what a newer app wrote; what changes a meaning raises ``schema``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """The document as plain JSON data, ``None`` left in, so that its shape is always the same."""
        return self.model_dump(mode="json", by_alias=True)


class Request(BaseModel):
    """Data that a caller sent. A field that is not known is an error, so that a typing mistake is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs a zone; write it in UTC with a Z at its end, as 2026-01-31T04:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


UtcTime = Annotated[datetime, AfterValidator(_utc), PlainSerializer(_iso, when_used="json")]
"""An aware instant, always UTC, written with a Z."""


def _lsn(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


Lsn = Annotated[int, BeforeValidator(_lsn), PlainSerializer(str, when_used="json")]
"""A log sequence number, numeric(25,0) in SQL Server; text in JSON, whose readers often hold 53 bits only."""
