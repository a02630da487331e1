"""The steps of a restore, in the order of their execution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.model.backups import Kind, Manifest, QdrantFacts, SnapshotPart, SqlFacts
from shared.model.hints import SqlHint
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    HealthStep,
    MigrationsStep,
    OrphansStep,
    PartToRestore,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
)
from shared.planning.chains import Chain
from shared.planning.names import Names
from shared.planning.words import sized


@dataclass(frozen=True)
class Work:
    """What there is to do: everything that the steps are made of.

    ``aliases`` are those that are set, with their collections. ``tails`` are the live databases whose log can
    still be backed up before they are overwritten, each with the id that this backup will get.
    """

    chains: Mapping[str, Chain]
    manifests: Mapping[str, Manifest]
    qdrant: QdrantFacts | None
    parts: Mapping[str, tuple[SnapshotPart, ...]]
    aliases: Mapping[str, str]
    names: Names
    overwritten_databases: frozenset[str]
    overwritten_collections: frozenset[str]
    tails: Mapping[str, str]
    octopus_database: str | None
    octopus_api: bool


def steps_of(work: Work) -> tuple[Step, ...]:
    """Every step with its number in its id: ``001-sql_restore``."""
    made = [*_sql(work), *_vectors(work), *_octopus(work)]
    return tuple(
        step.model_copy(update={"id": f"{number:03}-{step.kind}"}) for number, step in enumerate(made, 1)
    )


def _sql(work: Work) -> Iterator[Step]:
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
        yield SqlProofStep(
            id="",
            title=f"Compare the marker row and the row counts of {target} with the recovery point",
            database=database,
            target=target,
        )
    for database in work.chains:
        target = work.names.databases[database]
        yield MigrationsStep(
            id="", title=f"Check the migrations and tables of {target}", database=database, target=target
        )
        if database in work.overwritten_databases:
            yield AftermathStep(
                id="",
                title=f"Back up {target} in full at once: a new recovery fork has begun",
                database=target,
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
        title=f"Restore {what} of {_to(database, target)}: {reason}",
        database=database,
        target=target,
        backup_id=backup.id,
        backup_kind=backup.kind,
        backup_set_uuid=backup.backup_set_uuid,
        utc_offset_minutes=facts.utc_offset_minutes,
        files=facts.files,
        data_files=facts.data_files if backup.kind is Kind.FULL else (),
        stop=chain.stop,
        last=backup.id == chain.backups[-1].id,
    )


def _to(source: str, target: str) -> str:
    return source if source == target else f"{source} as {target}"


def _vectors(work: Work) -> Iterator[Step]:
    for collection, parts in work.parts.items():
        target = work.names.collections[collection]
        overwrites = collection in work.overwritten_collections
        size = sized(sum(part.blob.size for part in parts))
        instead = " in place of what is there" if overwrites else ""
        yield CollectionStep(
            id="",
            title=f"Recover collection {_to(collection, target)}{instead}: {len(parts)} snapshot(s), {size}",
            collection=collection,
            target=target,
            parts=tuple(
                PartToRestore(peer_id=part.peer_id, checksum=part.checksum, blob=part.blob) for part in parts
            ),
            overwrites=overwrites,
        )
    if work.aliases:
        yield AliasesStep(
            id="",
            title=f"Point {len(work.aliases)} alias(es) to their collections",
            aliases=dict(work.aliases),
        )


def aliases_of(
    facts: QdrantFacts | None, targets: Mapping[str, str], now: Mapping[str, str], *, in_place: bool
) -> dict[str, str]:
    """Alias → collection, of those that are set: what is in service is moved in place only.

    Left as it is, side by side, is an alias that stands for another collection now; and always one whose
    collection is restored under another name, because moving it would put the copy in service.

    Args:
        facts: the snapshot set.
        targets: collection → the name that it gets.
        now: the aliases on the target, with what they stand for.
        in_place: whether what is there may be replaced.
    """
    collections = facts.collections if facts else ()
    return {
        alias: collection.name
        for collection in collections
        for alias in sorted(collection.aliases)
        if targets.get(collection.name) == collection.name
        and (in_place or now.get(alias, collection.name) == collection.name)
    }


def _octopus(work: Work) -> Iterator[Step]:
    database = work.octopus_database
    if database is None:
        if work.octopus_api:
            yield HealthStep(id="", title="Wait until the Octopus API answers that it is healthy")
        return
    target = work.names.databases[database]
    if work.parts:
        yield OrphansStep(
            id="",
            title=f"Compare the agents of {target} with the restored collections",
            database=database,
            target=target,
            collections=tuple(work.names.collections[name] for name in work.parts),
        )
    if work.octopus_api and target == database:  # Octopus works with the live name, not with a copy beside it
        yield HealthStep(id="", title="Wait until the Octopus API answers that it is healthy")
        yield ConversationStep(
            id="",
            title="Hold a conversation from end to end, with recall and a semantic search",
            database=database,
            target=target,
            collections={name: work.names.collections[name] for name in work.parts},
        )


def files_of(steps: Sequence[Step]) -> Iterator[tuple[str, int, str]]:
    """Every blob that the steps read: ``container/name``, size in bytes, ETag."""
    for step in steps:
        if isinstance(step, SqlRestoreStep):
            blobs = step.files
        elif isinstance(step, CollectionStep):
            blobs = tuple(part.blob for part in step.parts)
        else:
            continue
        for blob in blobs:
            yield f"{blob.container}/{blob.name}", blob.size, blob.etag
