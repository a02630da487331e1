"""The activities of a recovery point's vector side: its snapshots, and the set that they make.

What is too large for the engine (the list of snapshots, each finished part) is kept in the run's state, where
a resumed run finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from shared.catalogue import paths
from shared.composition import System
from shared.errors import BackupSystemError, ConflictError, StoreError
from shared.model.backups import (
    CollectionFacts,
    Kind,
    Manifest,
    PartFailure,
    QdrantFacts,
    SnapshotPart,
    Store,
)
from shared.model.base import Document, UtcTime
from shared.model.findings import ErrorInfo
from shared.octopus.collections import agent_of
from shared.planning.due import MOST_ATTEMPTS
from shared.stores.qdrant import CollectionState, QdrantState, SnapshotRequest, agreed
from shared.workflows.backups import RESTORES, made_by, refuse_while_restored
from shared.workflows.runs import Ticket, beating, working

WORKLIST = "worklist"
"""Key of a part of the run. The wanted snapshots are kept in chunks, ``wanted/{n}``; a snapshot's own key is
``{peer id}/{collection}``."""

COLLECTION_GONE = "collection_gone"
"""Code of a snapshot's failure: its collection was deleted meanwhile (the Qdrant store)."""

CHUNK = 200
"""Wanted snapshots in one part, so that taking one need not read the list of all."""


class Worklist(Document):
    """The snapshots that a recovery point wants, listed once and kept: what is deleted later is a failure."""

    started_at: UtcTime
    state: QdrantState
    wanted: int


class Chunk(Document):
    """Some of the wanted snapshots, each with its peer's id and its collection; sorted by peer."""

    wanted: tuple[tuple[int, str], ...]


def list_snapshots(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: ask every peer for every collection it holds shards of, and write the list down.

    Returns:
        ``peers``: for each peer the first place of its snapshots in the list, and the one beyond its last.

    Raises:
        LockedError: one of the databases or collections is being restored.
    """
    ticket = Ticket.of(payload)
    with beating(system, ticket), system.catalogue.locks.hold(RESTORES, ticket.run_id):
        if system.catalogue.runs.find_part(ticket.run_id, WORKLIST):
            wanted = _wanted(partial(system.catalogue.runs.part, ticket.run_id))
        else:
            started = system.clock.now()
            state = system.qdrant.inspect()
            refuse_while_stores_restored(system, ticket, state)
            wanted = sorted((peer, c.name) for c in state.collections for peer in c.holders)
            for number, first in enumerate(range(0, len(wanted), CHUNK)):
                chunk = Chunk(wanted=tuple(wanted[first : first + CHUNK]))
                system.catalogue.runs.save_part(ticket.run_id, f"wanted/{number}", chunk.as_json())
            worklist = Worklist(started_at=started, state=state, wanted=len(wanted))
            system.catalogue.runs.save_part(ticket.run_id, WORKLIST, worklist.as_json())
    return {"peers": places_of_peers(wanted)}


def places_of_peers(wanted: Sequence[tuple[int, str]]) -> list[list[int]]:
    """For each peer of a list that is sorted by peer: its first place in it, and the one beyond its last.

    Two numbers for each peer, because what passes through the engine is bounded, and collections are not.
    """
    places: dict[int, list[int]] = {}
    for place, (peer, _) in enumerate(wanted):
        places.setdefault(peer, [place, place])[1] = place + 1
    return list(places.values())


def _wanted(part: Callable[[str], dict[str, Any]]) -> list[tuple[int, str]]:
    """The wanted snapshots, put together from parts of the run; ``part`` gives the one of a key."""
    worklist = Worklist.model_validate(part(WORKLIST))
    chunks = range(-(-worklist.wanted // CHUNK))
    return [one for number in chunks for one in Chunk.model_validate(part(f"wanted/{number}")).wanted]


def _chunk(system: System, ticket: Ticket, index: int) -> Chunk:
    return Chunk.model_validate(system.catalogue.runs.part(ticket.run_id, f"wanted/{index // CHUNK}"))


def refuse_while_stores_restored(system: System, ticket: Ticket, state: QdrantState) -> None:
    """A point made while one of its stores is half restored would pair what does not belong together.

    Raises:
        LockedError: a restore works on one of the databases, or of the collections of ``state``.
    """
    databases = [f"database:{name}" for name in system.settings.sqlserver.databases]
    collections = [f"collection:{one.name}" for one in state.collections]
    refuse_while_restored(system, ticket, databases + collections)


def take_snapshot(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one snapshot of one collection on one peer. Written down as a part, or as a failure."""
    ticket = Ticket.of(payload)
    parts = system.catalogue.runs
    peer_id, collection = _chunk(system, ticket, payload["index"]).wanted[payload["index"] % CHUNK]
    key = f"{peer_id}/{collection}"
    if (done := parts.find_part(ticket.run_id, key)) and "blob" in done:
        return {}
    set_id = parts.get(ticket.kind, ticket.run_id).step("snapshots").evidence["snapshot_set_id"]
    attempt = f"a{ticket.attempt}"
    prefix = paths.data_prefix(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, set_id, attempt)
    request = SnapshotRequest(peer_id=peer_id, collection=collection, attempt=attempt, prefix=f"{prefix}/")
    lock = f"qdrant/{peer_id}/{paths.encoded(collection)}"
    with beating(system, ticket) as check:
        try:
            with system.catalogue.locks.hold(lock, ticket.run_id) as held:
                part = system.qdrant.back_up(request, lambda _: check())
                held.check()
        except ConflictError:
            raise  # somebody else does this part now; its end is theirs to write down
        except BackupSystemError as error:
            failure = PartFailure(peer_id=peer_id, collection=collection, error=ErrorInfo(**error.as_dict()))
            parts.save_part(ticket.run_id, key, failure.as_json())
            raise
        check()
    parts.save_part(ticket.run_id, key, part.as_json())
    return {}


def end_snapshots(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: sum the parts up in the step."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        _, parts, failures = _collected(system, ticket)
        work.evidence |= {
            "snapshots": len(parts),
            "failed": len(failures),
            "size": sum(part.blob.size for part in parts),
        }
        work.note = f"{len(parts)} snapshots" + (f", {len(failures)} failed" if failures else "")
        if work.run.slot and ticket.attempt < MOST_ATTEMPTS and (lasting := _lasting(system, failures)):
            raise StoreError(
                f"{len(lasting)} of {len(failures) + len(parts)} snapshots failed: "
                f"{lasting[0].error.message}",
                "They are tried again with the next tick of sql_log; those that are finished are kept.",
                code="snapshots_failed",
                meaning="No recovery point was made yet.",
            )
        return {}


def _lasting(system: System, failures: list[PartFailure]) -> list[PartFailure]:
    """The failures that another attempt may mend: not those of collections that went with their agent."""
    if not any(failure.error.code == COLLECTION_GONE for failure in failures):
        return failures
    databases = system.settings.sqlserver.databases
    agents = {agent for database in databases for agent in system.sqlserver.agents(database)}
    return [failure for failure in failures if not gone_with_its_agent(failure, agents or None)]


def gone_with_its_agent(failure: PartFailure, agents: Collection[str] | None) -> bool:
    """Whether a snapshot is missing because its collection was deleted, and its agent with it.

    Then nothing is missing: the SQL point does not know the agent either.

    Args:
        failure: the snapshot that could not be made.
        agents: ids of the agents that SQL Server knows; None if nobody can say.
    """
    agent = agent_of(failure.collection)
    return (
        failure.error.code == COLLECTION_GONE
        and agents is not None
        and agent is not None
        and agent not in agents
    )


def _collected(system: System, ticket: Ticket) -> tuple[Worklist, list[SnapshotPart], list[PartFailure]]:
    kept = system.catalogue.runs.parts(ticket.run_id)
    worklist = Worklist.model_validate(kept[WORKLIST])
    parts, failures = [], []
    for peer_id, collection in _wanted(kept.__getitem__):
        value = kept.get(f"{peer_id}/{collection}")
        if value and "blob" in value:
            parts.append(SnapshotPart.model_validate(value))
        elif value:
            failures.append(PartFailure.model_validate(value))
        else:
            lost = ErrorInfo(code="not_taken", message="The snapshot was not taken.", retryable=True)
            failures.append(PartFailure(peer_id=peer_id, collection=collection, error=lost))
    return worklist, parts, failures


def commit_snapshot_set(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one manifest for all parts, complete or incomplete with reasons."""
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        set_id = work.evidence["snapshot_set_id"]
        done = system.catalogue.backups.find(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, set_id)
        if done:  # by an attempt that could not write its step down
            return {"backup_id": done.id}
        worklist, parts, failures = _collected(system, ticket)
        state = worklist.state
        manifest = Manifest(
            id=set_id,
            store=Store.QDRANT,
            scope=paths.QDRANT_SCOPE,
            kind=Kind.SNAPSHOT_SET,
            run_id=ticket.run_id,
            attempt=f"a{ticket.attempt}",
            slot=work.run.slot,
            started_at=worklist.started_at,
            finished_at=max((part.finished_at for part in parts), default=worklist.started_at),
            made_by=made_by(),
            facts=QdrantFacts(
                versions=state.versions,
                collections=tuple(_facts(c, parts) for c in state.collections),
                parts=tuple(parts),
                failures=tuple(failures),
                unprotected=state.unprotected,
            ),
            findings=state.findings,
        )
        work.check()
        system.catalogue.backups.commit(manifest)
        work.evidence |= {"size": manifest.size, "complete": manifest.complete}
        return {"backup_id": manifest.id}


def _facts(collection: CollectionState, parts: list[SnapshotPart]) -> CollectionFacts:
    """A collection's facts, with what the peers that hold parts of it counted."""
    return collection.facts(agreed([part.points for part in parts if part.collection == collection.name]))
