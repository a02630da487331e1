"""Recovery points: named instants across stores."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from shared.model.backups import Count
from shared.model.base import Document, Lsn, UtcTime
from shared.model.findings import Finding


class VectorSide(Document):
    """The snapshot set of a recovery point and the window in which it was made."""

    snapshot_set_id: str
    started_at: UtcTime = Field(description="t0: before the first snapshot")
    finished_at: UtcTime = Field(description="t1: after the last snapshot")
    collections: dict[str, Count]
    without_agent: tuple[str, ...] = Field(
        (), description="collections whose agent was deleted between their snapshot and the SQL point"
    )


class SqlSide(Document):
    """One database at the recovery point: the mark in its log, or the end of a log backup.

    Without a mark, ``at`` is when the log backup had ended: by then everything in it was committed, so the
    point is never taken for earlier than it is; and the log began only after the last snapshot had ended.
    """

    server: str
    database: str
    mark_name: str | None = Field(description="None: the point is the end of the log backup")
    mark_lsn: Lsn | None
    at: UtcTime = Field(description="t2: when the mark was set, or the log backup ended")
    log_backup_id: str
    tables: dict[str, Count] = Field(description="rows of every Octopus_* table, key schema.table")
    agents: tuple[str, ...] = Field(
        (),
        description="ids of the agents that SQL Server knows, sorted; without a mark those that it knew "
        "before or after the log backup",
    )
    migration: str | None = Field(None, description="head of __EFMigrationsHistory")
    clock_offset_seconds: float | None = Field(
        None, description="SQL Server's clock minus ours, measured when the point was made"
    )
    clock_uncertainty_seconds: float | None = Field(
        None, description="how far that offset may be wrong: half of what the question took"
    )

    @property
    def at_by_our_clock(self) -> datetime:
        """``at`` as our own clock would have told it, as far as the two were compared."""
        return self.at - timedelta(seconds=self.clock_offset_seconds or 0.0)


class RecoveryPoint(Document):
    """First the vectors, then the mark in SQL Server's log; this document commits the pair."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str = Field(description="ULID; also in the marker row of every database")
    name: str | None = None
    run_id: str
    slot: UtcTime | None = None
    made_at: UtcTime
    complete: bool
    reasons: tuple[str, ...] = Field((), description="why it is incomplete")
    vectors: VectorSide
    sql: tuple[SqlSide, ...]
    skew_seconds: float = Field(description="t2 - t0: how far apart the two sides can be")
    pinned: bool = Field(False, description="kept whatever the retention says")
    findings: tuple[Finding, ...] = ()


class Pin(Document):
    """A person's later word on whether a recovery point is kept; it beats what the point itself says."""

    schema_: Literal[1] = Field(1, alias="schema")
    point_id: str
    pinned: bool
    changed_at: UtcTime
