"""The stages of a restore around the databases: the fence, the vectors, the proof with Octopus itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from shared.model.backups import QdrantFacts, SnapshotPart
from shared.model.plans import (
    AliasesStep,
    CollectionStep,
    ConversationStep,
    ErasuresStep,
    FenceStep,
    GapStep,
    HealthStep,
    OrphansStep,
    PartToRestore,
    SafetyStep,
    Step,
)
from shared.planning.steps import Api, Extras, Work, aftermath, numbered, rehydration, renamed, sql_steps
from shared.planning.words import said, sized


def steps_of(work: Work, tiers: Mapping[str, str]) -> tuple[Step, ...]:
    """Every step of a restore, numbered.

    What is archived comes online first, while Octopus still works. Then the API is stopped, both sides are
    restored and compared, erased users are erased again, and only then the API is opened. The full backup is
    the last one: nobody waits for it.

    Args:
        work: what there is to do.
        tiers: access tier by ``container/name``, where it is known.
    """
    restored = [*sql_steps(work), *vector_steps(work)]
    return numbered(
        [
            *rehydration(restored, tiers),
            *(fence(work.api) if work.touches_live else ()),
            *restored,
            *_orphans(work),
            *erasures(work.extras, work.names.databases),
            *_octopus(work),
            *aftermath(
                target
                for database, target in work.names.databases.items()
                if database in work.overwritten_databases or database == target
            ),
        ]
    )


def fence(api: Api) -> Iterator[FenceStep]:
    """The API is stopped, where anybody can tell whether it is, or there is a hook that does it."""
    if api.stop_hook:
        yield FenceStep(id="", title="Stop the Octopus API by its hook, and see that it is down", hook=True)
    elif api.address:
        title = "See that the Octopus API is down; whoever starts this restore has stopped it"
        yield FenceStep(id="", title=title, hook=False)


def vector_steps(work: Work) -> Iterator[Step]:
    """The collections, after what is about to be overwritten was read and kept; then the aliases."""
    over = sorted(work.overwritten_collections)
    if over:
        live = tuple(work.names.collections[name] for name in over)
        since = min(part.finished_at for name in over for part in work.parts[name])
        yield _gap(live, since)
        yield SafetyStep(
            id="",
            title=f"Keep a snapshot of {len(live)} live collection(s) before they are overwritten",
            collections=live,
        )
    for collection, parts in work.parts.items():
        yield _collection(work, collection, parts)
    if work.aliases:
        yield AliasesStep(
            id="",
            title=f"Point {len(work.aliases)} alias(es) to their collections",
            aliases=dict(work.aliases),
        )


def _gap(live: tuple[str, ...], since: datetime) -> GapStep:
    return GapStep(
        id="",
        title=f"List the documents of {len(live)} live collection(s) that were indexed after {said(since)}",
        collections=live,
        since=since,
    )


def _collection(work: Work, collection: str, parts: Iterable[SnapshotPart]) -> CollectionStep:
    target = work.names.collections[collection]
    overwrites = collection in work.overwritten_collections
    recovered = tuple(
        PartToRestore(peer_id=part.peer_id, checksum=part.checksum, blob=part.blob) for part in parts
    )
    size = sized(sum(part.blob.size for part in recovered))
    instead = " in place of what is there" if overwrites else ""
    return CollectionStep(
        id="",
        title=f"Recover collection {renamed(collection, target)}{instead}: "
        f"{len(recovered)} snapshot(s), {size}",
        collection=collection,
        target=target,
        parts=recovered,
        overwrites=overwrites,
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


def _orphans(work: Work) -> Iterator[Step]:
    """Both sides are compared where vectors are restored, or stay while the database in service changes."""
    database = work.octopus_database
    if database is None:
        return
    if work.parts or (work.qdrant_there and work.database_in_service):
        yield orphans(database, work.target_of(database), (work.names.collections[n] for n in work.parts))


def orphans(database: str, target: str, collections: Iterable[str]) -> OrphansStep:
    """The comparison of a database's agents with collections under the names that they have then."""
    return OrphansStep(
        id="",
        title=f"Compare the agents of {target} with the collections",
        database=database,
        target=target,
        collections=tuple(collections),
    )


def erasures(extras: Extras, targets: Mapping[str, str]) -> Iterator[ErasuresStep]:
    """The rows of erased users are deleted from every restored database (database → its name)."""
    for database, target in targets.items() if extras.users else ():
        yield ErasuresStep(
            id="",
            title=f"Delete the rows of {extras.users} erased user(s) from {target} again",
            database=database,
            target=target,
            users=extras.users,
            list_sha256=extras.list_sha256,
        )


def _octopus(work: Work) -> Iterator[Step]:
    if not work.touches_live:  # Octopus works with the live names, not with copies beside them
        return
    collections = {name: work.names.collections[name] for name in work.parts}
    database = work.octopus_database if work.database_in_service else None
    yield from trial(work.api, database, collections)


def trial(api: Api, database: str | None, collections: Mapping[str, str]) -> Iterator[Step]:
    """The API is started and answers; and where the database in service is known, a conversation is held."""
    if not api.address:
        return
    first = "Start the Octopus API by its hook, and wait" if api.start_hook else "Wait"
    yield HealthStep(
        id="", title=f"{first} until the Octopus API answers that it is healthy", hook=api.start_hook
    )
    if database is not None:
        yield ConversationStep(
            id="",
            title="Hold a conversation from end to end, with recall and a semantic search",
            database=database,
            target=database,
            collections=dict(collections),
        )
