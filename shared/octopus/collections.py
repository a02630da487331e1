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


_STAMP = r"\d{8}t\d{6}"
_SCRATCH = re.compile(rf"(?:drill|rp|quarantine)_{_STAMP}_.+|.+__rp_{_STAMP}(?:_\d+)?", re.DOTALL)


def is_scratch(name: str) -> bool:
    """Whether a database or collection is a copy that was made here.

    A drill makes some, so does a restore beside what is live, and a quarantine. Their names are made of
    ``drill_``, ``rp_`` or ``quarantine_``, a time (UTC, ``yyyymmddthhmmss``) and the original's name. Octopus
    does not work with them: they are neither backed up nor looked at for orphans.
    """
    return _SCRATCH.fullmatch(name) is not None
