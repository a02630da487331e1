"""An episode that a restored database holds, to be recognised when Octopus recalls it."""

from __future__ import annotations

import uuid

from pydantic import Field

from shared.model.base import Document
from shared.stores.sqlserver import contents
from shared.stores.sqlserver.connection import Session
from shared.stores.sqlserver.contents import Table
from shared.stores.sqlserver.statements import quote_name

EPISODES = "Octopus_Episodes"

TEXT_COLUMNS = ("Summary", "Content", "Text", "Title")
"""Where an episode's words may stand, in this order; the product's pages do not agree on its columns."""

NEWEST_LOOKED_AT = 20


class KnownEpisode(Document):
    """An episode that is known to be there."""

    id: str = Field(description="the value of its primary key")
    agent: str = Field(description="the agent's id, a lower-case GUID")
    text: str = Field(description="its summary, or the words that it has instead")


def known_episodes(session: Session, database: str, agent: str | None) -> list[KnownEpisode]:
    """The newest episodes that Octopus itself would show, newest first; at most 20.

    Raw SQL past Octopus' own filters, but without what those hide: soft-deleted, archived and expired rows,
    as far as the table has columns for that. Columns are looked up, because their names differ.

    Args:
        session: any session.
        database: the restored database.
        agent: only episodes of this agent; None: of any.

    Returns:
        Empty where there is no such table, none of its columns holds words, or no row fits.
    """
    table = next((one for one in contents.tables(session, database) if one.name == EPISODES), None)
    columns = _columns(session, database, table) if table else {}
    texts = [name for name in TEXT_COLUMNS if name in columns]
    key = next((name for name in ("EpisodeId", "Id") if name in columns), None)
    if table is None or key is None or not texts or "AgentId" not in columns:
        return []
    where, values = [f"{quote_name(texts[0])} IS NOT NULL"], []
    where += [f"{quote_name(name)} = 0" for name in ("IsDeleted", "IsArchived") if name in columns]
    if "ExpiresAt" in columns:
        where.append("([ExpiresAt] IS NULL OR [ExpiresAt] > SYSUTCDATETIME())")
    if agent is not None:
        where.append("[AgentId] = ?")
        values.append(agent)
    order = "[CreatedAt] DESC" if "CreatedAt" in columns else quote_name(key)
    rows = session.rows(
        f"SELECT TOP ({NEWEST_LOOKED_AT}) {quote_name(key)}, [AgentId], {quote_name(texts[0])} "  # noqa: S608
        f"FROM {table.quoted(database)} WHERE {' AND '.join(where)} ORDER BY {order};",
        *values,
    )
    return [
        KnownEpisode(id=str(row[0]).lower(), agent=found, text=str(row[2]))
        for row in rows
        if (found := _guid(row[1])) and str(row[2]).strip()
    ]


def _columns(session: Session, database: str, table: Table) -> dict[str, str]:
    """The columns of a table with their types."""
    rows = session.rows(
        "SELECT COLUMN_NAME, DATA_TYPE "  # noqa: S608 - quoted
        f"FROM {quote_name(database)}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?;",
        table.schema_name,
        table.name,
    )
    return {str(row[0]): str(row[1]) for row in rows}


def _guid(value: object) -> str | None:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        return None
