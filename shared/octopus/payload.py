"""What Octopus writes beside each vector: the names of the fields and how their values are spelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

AGENT = "agentId"
TENANT = "tenantId"
SOURCE = "source"
DOCUMENT = "documentId"
INDEXED_AT = "indexedAt"
"""Fields of a point's payload (Octopus' guide on knowledge per agent); ``documentId`` is not always there."""


def spellings(ids: Iterable[str]) -> list[str]:
    """Every way in which these ids may be written in a payload, each once.

    Args:
        ids: GUIDs in any spelling, or other texts, which are spelled as they are.
    """
    found: dict[str, None] = {}
    for one in ids:
        try:
            guid = UUID(one)
        except ValueError:
            found[one] = None
            continue
        for spelling in (str(guid), guid.hex, str(guid).upper(), guid.hex.upper()):
            found[spelling] = None
    return list(found)


def time_of(value: Any) -> datetime | None:
    """The instant that a payload's time stands for, in UTC; None if it is none that Qdrant understands.

    Without a zone it is UTC, as Qdrant takes it (Qdrant's documentation of the datetime payload type).
    """
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
