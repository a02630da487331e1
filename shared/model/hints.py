"""What a listing already tells of a backup, so that planning need not read thousands of manifests.

A hint travels in the metadata of the manifest's blob, as one compact text. It is only a hint: every manifest
that a plan chooses is read, and must give the same hint.
"""

from __future__ import annotations

from pydantic import Field

from shared.model.backups import Kind, Manifest, SqlFacts
from shared.model.base import Document, Lsn, UtcTime


class SqlHint(Document):
    """A SQL Server backup as the chain algorithm sees it."""

    id: str
    server: str
    database: str
    kind: Kind
    backup_set_uuid: str
    family_guid: str
    first_lsn: Lsn
    last_lsn: Lsn
    checkpoint_lsn: Lsn
    differential_base_guid: str | None
    first_recovery_fork_guid: str
    last_recovery_fork_guid: str
    fork_point_lsn: Lsn | None
    has_bulk_logged_data: bool
    is_copy_only: bool
    is_damaged: bool
    started_at: UtcTime
    finished_at: UtcTime
    size: int
    utc_offset_minutes: int | None = Field(
        None, description="the server's local time minus UTC when it was made; None in older listings"
    )
    flaw: str = Field(
        "", exclude=True, description="why it must not be used, where that was learnt later; in no listing"
    )

    def flawed(self, why: str) -> SqlHint:
        """The same backup, not to be used any more, and why."""
        return self.model_copy(update={"is_damaged": True, "flaw": why})


class SetHint(Document):
    """A snapshot set as the pairing of the two sides sees it."""

    id: str
    complete: bool
    started_at: UtcTime
    finished_at: UtcTime
    collections: int
    size: int


def hint_of(manifest: Manifest) -> SqlHint | SetHint:
    """The hint that belongs to a manifest."""
    facts = manifest.facts
    if not isinstance(facts, SqlFacts):
        return SetHint(
            id=manifest.id,
            complete=manifest.complete,
            started_at=manifest.started_at,
            finished_at=manifest.finished_at,
            collections=len(facts.collections),
            size=manifest.size,
        )
    return SqlHint(
        id=manifest.id,
        server=facts.server,
        database=facts.database,
        kind=manifest.kind,
        backup_set_uuid=facts.backup_set_uuid,
        family_guid=facts.family_guid,
        first_lsn=facts.first_lsn,
        last_lsn=facts.last_lsn,
        checkpoint_lsn=facts.checkpoint_lsn,
        differential_base_guid=facts.differential_base_guid,
        first_recovery_fork_guid=facts.first_recovery_fork_guid,
        last_recovery_fork_guid=facts.last_recovery_fork_guid,
        fork_point_lsn=facts.fork_point_lsn,
        has_bulk_logged_data=facts.has_bulk_logged_data,
        is_copy_only=facts.is_copy_only,
        is_damaged=facts.is_damaged,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        size=manifest.size,
        utc_offset_minutes=facts.utc_offset_minutes,
    )


def agrees(hint: SqlHint | SetHint, manifest: Manifest) -> bool:
    """Whether a hint says nothing else than the manifest; what an older version did not put in it is free."""
    told = hint_of(manifest)
    return type(told) is type(hint) and all(
        getattr(told, name) == getattr(hint, name) for name in hint.model_fields_set
    )
