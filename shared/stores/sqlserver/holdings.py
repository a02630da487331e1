"""What databases hold at about one moment: rows of tables, agents, migration; and the server's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import NamedTuple

from pydantic import Field

from shared.clock import Clock
from shared.model.backups import Count, Quality
from shared.model.base import Document
from shared.stores.sqlserver import contents, inspection
from shared.stores.sqlserver.connection import Server, Session

COUNT_SECONDS = 3600
COUNT_WAIT_MILLISECONDS = 30_000
"""How long counting waits for a row that somebody has changed and not yet committed."""

_CLOCK_QUESTIONS = 3


class ClockOffset(NamedTuple):
    """How far SQL Server's clock is from ours.

    Attributes:
        seconds: its clock minus ours.
        uncertainty: how far that may be wrong, in seconds.
    """

    seconds: float
    uncertainty: float


class Held(NamedTuple):
    """What one database holds."""

    tables: dict[str, Count]
    agents: list[str]
    migration: str | None


class Holdings(Document):
    """What one database held when it was looked at, counted while others may have written."""

    server: str
    database: str
    tables: dict[str, Count] = Field(description="rows of every Octopus_* table, key schema.table")
    agents: tuple[str, ...] = Field(description="ids of all agents, lower-case GUIDs, sorted")
    migration: str | None = Field(description="head of __EFMigrationsHistory")
    clock_offset_seconds: float
    clock_uncertainty_seconds: float


def look(server: Server, clock: Clock, databases: Sequence[str]) -> list[Holdings]:
    """Look at databases in use.

    Returns:
        One entry per database, in the order of the request; its counts are approximate.

    Raises:
        NotPermittedError: our login may not read.
        SqlServerError: a database is missing or not online, or a table stayed locked.
    """
    if not databases:
        return []
    with server.session(seconds=COUNT_SECONDS) as session:
        session.run(f"SET LOCK_TIMEOUT {COUNT_WAIT_MILLISECONDS};")
        name = inspection.server_info(session).name
        offset = clock_offset(session, clock)
        return [_looked(name, database, counted(session, database), offset) for database in databases]


def _looked(server: str, database: str, held: Held, offset: ClockOffset) -> Holdings:
    return Holdings(
        server=server,
        database=database,
        tables=held.tables,
        agents=tuple(held.agents),
        migration=held.migration,
        clock_offset_seconds=offset.seconds,
        clock_uncertainty_seconds=offset.uncertainty,
    )


def held(session: Session, database: str, tables: dict[str, Count]) -> Held:
    """What a database holds, its rows having been counted."""
    return Held(tables, contents.agents(session, database), contents.migrations(session, database).head)


def counted(session: Session, database: str) -> Held:
    """What a database holds now; its counts are approximate, without an interval."""
    rows = contents.row_counts(session, database, contents.tables(session, database))
    unsure = {key: Count(value=value, quality=Quality.APPROXIMATE) for key, value in rows.items()}
    return held(session, database, unsure)


def exact(rows: Mapping[str, int]) -> dict[str, Count]:
    """Rows that were counted at the very instant."""
    return {key: Count(value=value, quality=Quality.EXACT) for key, value in rows.items()}


def between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Count]:
    """Rows of an instant, of the tables that were there both before and after it."""
    return {
        key: Count(
            value=after[key],
            quality=Quality.APPROXIMATE,
            low=min(before[key], after[key]),
            high=max(before[key], after[key]),
        )
        for key in after
        if key in before
    }


def clock_offset(session: Session, clock: Clock) -> ClockOffset:
    """SQL Server's clock minus ours: the answer that came fastest of three tells it best."""
    offsets = []
    for _ in range(_CLOCK_QUESTIONS):
        asked, began = clock.now(), clock.monotonic()
        told = session.rows("SELECT SYSUTCDATETIME();")[0][0].replace(tzinfo=UTC)
        half = (clock.monotonic() - began) / 2
        offsets.append(ClockOffset(round((told - asked).total_seconds() - half, 4), round(half, 4)))
    return min(offsets, key=lambda offset: offset.uncertainty)
