"""What the scripts beside a recovery point are made of, gathered from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from shared.composition import System
from shared.model.backups import BlobRef, QdrantFacts, SnapshotPart, SqlFacts
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint, SqlSide
from shared.planning.chains import Chain
from shared.planning.selecting import Agents, Wish, select
from shared.reporting.break_glass import (
    LONGEST_URL,
    Glass,
    GlassBackup,
    GlassCollection,
    GlassDatabase,
    GlassFile,
    GlassSnapshot,
)


def gathered(
    system: System, point: RecoveryPoint, facts: QdrantFacts, chains: Sequence[Chain | None]
) -> Glass:
    """Everything that the scripts of a point say.

    Args:
        system: the system.
        point: the point, complete or not.
        facts: its snapshot set.
        chains: for each of its databases the backups that lead to it; None where none do.

    Raises:
        NotFoundError, IntegrityError: a manifest is gone or damaged.
    """
    agents = {agent for side in point.sql for agent in side.agents}
    known_agents = Agents(known=agents or None, without=point.vectors.without_agent)
    selection = select(facts, known_agents, Wish())
    known = {one.name: one for one in facts.collections}
    return Glass(
        point=point,
        account_url=system.storage.url,
        backup_dir=system.settings.sqlserver.backup_dir,
        databases=tuple(
            _database(system, side, found) for side, found in zip(point.sql, chains, strict=True) if found
        ),
        collections=tuple(
            GlassCollection(
                name=name,
                points=known[name].points,
                snapshots=tuple(_snapshot(system, part, known[name].shard_ids) for part in parts),
                aliases=known[name].aliases,
            )
            for name, parts in selection.parts.items()
        ),
        left_out=selection.left_out,
        versions=tuple(sorted(set(facts.versions.values()))),
    )


def _database(system: System, side: SqlSide, found: Chain) -> GlassDatabase:
    made = [(hint, _sql_facts(system, hint)) for hint in found.backups]
    backups = tuple(
        GlassBackup(hint.id, hint.kind, hint.finished_at, tuple(_file(system, ref) for ref in facts.files))
        for hint, facts in made
    )
    addresses = [f"{system.storage.url}/{file.path}" for backup in backups for file in backup.files]
    direct = all(facts.medium == "url" for _, facts in made)
    full = made[0][1]
    return GlassDatabase(
        side=side,
        server_version=max((facts.server_version for _, facts in made), key=_numbers),
        medium="url" if direct and all(len(one) <= LONGEST_URL for one in addresses) else "disk",
        backups=backups,
        data_files=full.data_files,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _sql_facts(system: System, hint: SqlHint) -> SqlFacts:
    facts = system.catalogue.backups.chosen(hint).facts
    if not isinstance(facts, SqlFacts):
        raise TypeError(f"{hint.id} is no SQL Server backup")
    return facts


def _snapshot(system: System, part: SnapshotPart, shard_ids: Sequence[int]) -> GlassSnapshot:
    held = {shard.shard_id for shard in part.shards if shard.segments and shard.has_wal}
    file = _file(system, part.blob)
    return GlassSnapshot(part.peer_id, file, part.checksum, whole=set(shard_ids) <= held)


def _file(system: System, ref: BlobRef) -> GlassFile:
    address = system.storage.address(ref.container, ref.name)
    return GlassFile(address.removeprefix(f"{system.storage.url}/"), ref.size, ref.sha256)
