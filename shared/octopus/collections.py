"""The names of Octopus' vector collections, and the agents that they belong to."""

from __future__ import annotations

import re
from uuid import UUID

_AGENT = re.compile(
    r"agent_(?P<id>[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:_.+)?",
    re.IGNORECASE | re.DOTALL,
)


def agent_of(collection: str) -> str | None:
    """The agent that a collection belongs to, as a lower-case GUID with dashes; None for a shared one.

    Octopus names a collection ``agent_`` and the agent's id, as 32 hexadecimal digits or as a GUID with
    dashes, where there are tenants followed by ``_`` and the tenant (Octopus' guides on backup and on
    knowledge per agent).
    """
    found = _AGENT.fullmatch(collection)
    return str(UUID(found["id"])) if found else None
