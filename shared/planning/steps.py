"""The steps of a restore, in the order of their execution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from shared.model.backups import BlobRef, Kind, Manifest, QdrantFacts, SnapshotPart, SqlFacts
from shared.model.hints import SqlHint
from shared.model.plans import (
    AftermathStep,
    CollectionStep,
    Migrations,
    MigrationsStep,
    RehydrateStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
)
from shared.planning.chains import Chain
from shared.planning.names import Names
from shared.planning.words import sized

ARCHIVE = "Archive"
"""The access tier of a blob that is offline; it keeps it while it is brought back (Microsoft: "Blob
rehydration from the archive tier")."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """The Octopus API: whether its address is set, and the hooks that stop and start it."""

    address: bool = False
    stop_hook: bool = False
    start_hook: bool = False


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is done to a restored database besides: checks, migrations, erasures of so many users."""

    checkdb: bool = False
    migrations: Migrations = Migrations.CHECK
    script: BlobRef | None = None
    users: int = 0
    list_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do: everything that the steps are made of.

    ``aliases`` are those that are set, with their collections. ``tails`` are the live databases whose log can
    still be backed up before they are overwritten, each with the id that this backup will get.
    ``octopus_database`` is the one that Octopus works with; where SQL Server is left alone, the live one.
    ``qdrant_there`` tells that there are live vectors, restored or not.
    """

    chains: Mapping[str, Chain] = field(default_factory=dict)
    manifests: Mapping[str, Manifest] = field(default_factory=dict)
    qdrant: QdrantFacts | None = None
    parts: Mapping[str, tuple[SnapshotPart, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    names: Names
    overwritten_databases: frozenset[str] = frozenset()
    overwritten_collections: frozenset[str] = frozenset()
    tails: Mapping[str, str] = field(default_factory=dict)
    octopus_database: str | None = None
    qdrant_there: bool = False
    api: Api = Api()
    extras: Extras = Extras()

    @property
    def database_in_service(self) -> bool:
        """Whether Octopus works with its database under the name that it has after the restore."""
        database = self.octopus_database
        return database is not None and self.target_of(database) == database

    @property
    def touches_live(self) -> bool:
        """Whether anything is written under a name that Octopus works with."""
        targets = [*self.names.databases.items(), *self.names.collections.items()]
        overwritten = self.overwritten_databases | self.overwritten_collections
        return bool(overwritten) or any(source == target for source, target in targets)

    def target_of(self, database: str) -> str:
        """The name that a database has after the restore."""
        return self.names.databases.get(database, database)


def numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Every step with its number in its id: ``001-sql_restore``."""
    return tuple(
        step.model_copy(update={"id": f"{number:03}-{step.kind}"}) for number, step in enumerate(steps, 1)
    )


def rehydration(steps: Iterable[Step], tiers: Mapping[str, str]) -> Iterator[RehydrateStep]:
    """The step that brings archived blobs back, where the steps read any.

    Args:
        steps: those that read.
        tiers: access tier by ``container/name``, where it is known.
    """
    blobs = {f"{blob.container}/{blob.name}": blob for blob in blobs_of(steps)}
    archived = tuple(blob for name, blob in blobs.items() if tiers.get(name) == ARCHIVE)
    if archived:
        size = sized(sum(blob.size for blob in archived))
        yield RehydrateStep(
            id="",
            title=f"Bring {len(archived)} archived file(s), {size}, back online: this takes hours",
            files=archived,
        )


def sql_steps(work: Work) -> Iterator[Step]:
    """SQL Server: tail, full, differential, logs, recovery, proof; then the migrations."""
    for database, chain in work.chains.items():
        target = work.names.databases[database]
        if database in work.tails:
            yield SqlTailStep(
                id="",
                title=f"Back up the tail of the log of {target}; from here on it is not in service",
                database=target,
                backup_id=work.tails[database],
            )
        for backup, choice in zip(chain.backups, chain.choices, strict=True):
            yield _restore(work, database, chain, backup, choice.reason)
        yield SqlRecoverStep(
            id="", title=f"Recover {target}: open it for use", database=database, target=target
        )
        checkdb = ", and check its pages with DBCC CHECKDB" if work.extras.checkdb else ""
        yield SqlProofStep(
            id="",
            title=f"Compare the marker row and the row counts of {target} with the recovery point{checkdb}",
            database=database,
            target=target,
            checkdb=work.extras.checkdb,
        )
    for database in work.chains:
        yield _migrations(work, database)


def _migrations(work: Work, database: str) -> MigrationsStep:
    """Only Octopus' own database is migrated: in another one the script would make Octopus' tables."""
    target, extras = work.names.databases[database], work.extras
    how = extras.migrations if database == work.octopus_database else Migrations.CHECK
    script = extras.script if how is Migrations.SCRIPT else None
    titles = {
        Migrations.CHECK: f"Check the migrations and tables of {target}",
        Migrations.SCRIPT: f"Execute the migration script on {target}, then check its migrations and tables",
        Migrations.COMMAND: f"Run OCTOPUS_MIGRATION_COMMAND for {target}, then check its migrations",
    }
    return MigrationsStep(
        id="",
        title=titles[how],
        database=database,
        target=target,
        how=how,
        script=script,
        script_sha256=script.sha256 if script else None,
    )


_KINDS = {Kind.FULL: "the full backup", Kind.DIFFERENTIAL: "the differential", Kind.LOG: "the log"}


def _restore(work: Work, database: str, chain: Chain, backup: SqlHint, reason: str) -> SqlRestoreStep:
    facts = work.manifests[backup.id].facts
    if not isinstance(facts, SqlFacts):
        raise TypeError(f"{backup.id} is no SQL Server backup")
    target = work.names.databases[database]
    name = facts.files[0].name.rsplit("/", 1)[-1] if facts.files else backup.id
    stripes = f" in {len(facts.files)} stripes" if len(facts.files) > 1 else ""
    what = f"{_KINDS[backup.kind]} {name}{stripes} ({sized(backup.size)})"
    return SqlRestoreStep(
        id="",
        title=f"Restore {what} of {renamed(database, target)}: {reason}",
        database=database,
        target=target,
        backup_id=backup.id,
        backup_kind=backup.kind,
        backup_set_uuid=backup.backup_set_uuid,
        utc_offset_minutes=chain.local.get(backup.id, facts.utc_offset_minutes),
        files=facts.files,
        data_files=facts.data_files if backup.kind is Kind.FULL else (),
        stop=chain.stop,
        stop_lsn=chain.mark_lsn,
        last=backup.id == chain.backups[-1].id,
    )


def renamed(source: str, target: str) -> str:
    """A name, and the other one that it gets, if it does."""
    return source if source == target else f"{source} as {target}"


def aftermath(databases: Iterable[str]) -> Iterator[AftermathStep]:
    """A full backup of every database that is in service after the restore, by its name."""
    for database in databases:
        yield AftermathStep(
            id="",
            title=f"Back up {database} in full at once: a new recovery fork has begun",
            database=database,
        )


def files_of(steps: Iterable[Step]) -> Iterator[tuple[str, int, str]]:
    """Every blob that the steps read: ``container/name``, size in bytes, ETag."""
    for blob in blobs_of(steps):
        yield f"{blob.container}/{blob.name}", blob.size, blob.etag


def blobs_of(steps: Iterable[Step]) -> Iterator[BlobRef]:
    """Every blob that the steps read."""
    for step in steps:
        yield from _blobs(step)


def _blobs(step: Step) -> tuple[BlobRef, ...]:
    match step:
        case SqlRestoreStep():
            return step.files
        case CollectionStep():
            return tuple(part.blob for part in step.parts)
        case MigrationsStep(script=BlobRef() as script):
            return (script,)
        case _:
            return ()
