"""The Qdrant store: what is there, backed up, verified, restored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from shared.blob.storage import Storage
from shared.clock import Clock
from shared.model.backups import CollectionFacts, Count, Manifest, QdrantFacts, SnapshotPart
from shared.model.findings import Finding
from shared.model.plans import CollectionStep
from shared.settings import QdrantSettings
from shared.stores.qdrant.aliases import restore_aliases
from shared.stores.qdrant.backup import BusyCollections, SnapshotRequest, back_up, counted
from shared.stores.qdrant.gap import indexed_after, undated
from shared.stores.qdrant.inspect import (
    CollectionState,
    Presence,
    QdrantState,
    inspect,
    inspect_one,
    presence,
)
from shared.stores.qdrant.peers import Peers, aliases, exact_count, names, sample
from shared.stores.qdrant.preflight import preflight
from shared.stores.qdrant.remove import remove
from shared.stores.qdrant.restore import restore
from shared.stores.qdrant.scratch import drop_copy, search
from shared.stores.qdrant.strays import Expected, Strays, strays
from shared.stores.qdrant.survey import Surveyed, survey
from shared.stores.qdrant.verify import verify
from shared.stores.qdrant.way_back import way_back

Progress = Callable[[int], None]


def nothing_to_tell(_: int) -> None:
    """A progress that nobody watches."""


class QdrantStore:
    """All peers of one Qdrant, and the storage account that their snapshots go to.

    Args:
        settings: addresses, keys and patterns.
        storage: where snapshots are put and read.
        clock: for times and waiting.

    Every method raises UnreachableError when a peer or the storage does not answer, NotPermittedError when a
    key is wrong or too weak, and QdrantError for other answers of the server.
    """

    def __init__(self, settings: QdrantSettings, storage: Storage, clock: Clock) -> None:
        self._settings = settings
        self._storage = storage
        self._clock = clock
        self._busy = BusyCollections()
        self._guard = threading.Lock()
        self._opened: dict[bool, Peers] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        with self._guard:
            while self._opened:
                self._opened.popitem()[1].close()

    def inspect(self) -> QdrantState:
        """Peers, collections and who holds their shards, aliases, and what deserves attention.

        Raises:
            RefusedError: the addresses are not the peers of one Qdrant.
        """
        return inspect(self._peers(), self._settings.collections)

    def presence(self) -> Presence:
        """Which collections and aliases there are, and every peer's version; see ``inspect.presence``.

        Raises:
            RefusedError: the addresses are not the peers of one Qdrant.
        """
        return presence(self._peers())

    def back_up(self, request: SnapshotRequest, progress: Progress = nothing_to_tell) -> SnapshotPart:
        """Snapshot one collection on one peer into Blob Storage; see ``backup.back_up``.

        Raises:
            LockedError: a snapshot of it is being made already.
            QdrantError: code ``collection_gone`` when the collection was deleted meanwhile.
            RefusedError: the peer holds no whole shard of it.
            IntegrityError: the bytes are not what the server announced; nothing was committed.
        """
        self._busy.enter(request.peer_id, request.collection)
        try:
            return back_up(self._peers(), request, self._storage, self._clock, progress)
        finally:
            self._busy.leave(request.peer_id, request.collection)

    def verify(self, manifest: Manifest, progress: Progress = nothing_to_tell) -> dict[str, Any]:
        """Read a snapshot set back from Blob Storage; see ``verify.verify``.

        Raises:
            IntegrityError: a part of it is not what was recorded.
        """
        return verify(self._storage, manifest, progress)

    def restore(
        self,
        step: CollectionStep,
        facts: QdrantFacts,
        *,
        begun_before: bool = False,
        copied: bool = False,
        progress: Progress = nothing_to_tell,
    ) -> dict[str, Any]:
        """Bring one collection back and prove it; see ``restore.restore``.

        Raises:
            RefusedError: it would not be safe; nothing was changed.
            IntegrityError: a snapshot is not what was backed up; nothing was changed.
            ProofFailedError: the restored collection does not match the backup.
        """
        return restore(
            self._peers(restoring=True),
            self._storage,
            self._clock,
            step,
            facts,
            begun_before=begun_before,
            copied=copied,
            progress=progress,
        )

    def restore_aliases(self, aliases: Mapping[str, str]) -> dict[str, Any]:
        """Let aliases (alias → collection) stand for restored collections; see ``aliases.restore_aliases``.

        Raises:
            TargetInTheWayError: a collection has the name of an alias.
            ProofFailedError: they do not stand for what they should.
        """
        return restore_aliases(self._peers(restoring=True), aliases)

    def count(self, collection: str) -> Count:
        """The number of points as every peer counts them: exact if they agree.

        Raises:
            QdrantError: with status 404 when there is no such collection.
        """
        return counted(*(exact_count(peer, collection) for peer in self._peers()))

    def sample(self, collection: str) -> dict[str, Any] | None:
        """The payload of some point of a collection; None if it has no point.

        Raises:
            QdrantError: with status 404 when there is no such collection.
        """
        return sample(self._peers().first, collection)

    def search(self, collection: str) -> dict[str, Any]:
        """Search a collection for the neighbours of one of its own points; see ``scratch.search``.

        Raises:
            ProofFailedError: there are points, but none is given back.
        """
        return search(self._peers().first, collection)

    def drop_copy(self, collection: str, *, settled: bool = False) -> str:
        """Remove a collection that a drill restored; see ``scratch.drop_copy``.

        Raises:
            RefusedError: the name is not that of a copy.
        """
        return drop_copy(self._peers(restoring=True), self._clock, collection, settled=settled)

    def names(self) -> list[str]:
        """The names of all collections, sorted; no alias is among them."""
        return names(self._peers().first)

    def aliases(self) -> dict[str, str]:
        """Every alias and the collection that it stands for."""
        return aliases(self._peers().first)

    def holders(self, collection: str) -> list[int]:
        """Ids of the peers that hold shards of a collection.

        Raises:
            QdrantError: with status 404 when there is no such collection.
        """
        return [placed.peer_id for _, placed in self._peers().placements(collection) if placed.local]

    def inspect_one(self, collection: str) -> tuple[dict[str, str], CollectionState]:
        """The peers' versions by their ids, and one collection, whether a pattern matches it or not.

        Raises:
            NotFoundError: there is no such collection.
        """
        return inspect_one(self._peers(), collection)

    def preflight(self, overwritten: Mapping[str, CollectionFacts]) -> tuple[Finding, ...]:
        """What a restore would stop at, as findings; see ``preflight.preflight``.

        Raises:
            RefusedError: the addresses are not the peers of one Qdrant.
        """
        return preflight(self._peers(), overwritten)

    def ways_back(self, parts: Sequence[SnapshotPart]) -> list[str]:
        """For each copy a shell command that recovers it over its collection; see ``way_back.way_back``.

        Raises:
            RefusedError: the addresses are not the peers of one Qdrant.
        """
        peers = self._peers()
        urls = {node.id: node.url for node in peers.nodes()}
        return [way_back(self._storage, urls.get(part.peer_id, peers.first.url), part) for part in parts]

    def indexed_after(self, collection: str, since: datetime) -> Iterator[list[dict[str, Any]]]:
        """The payloads of what was indexed after an instant, in pages; see ``gap.indexed_after``.

        Raises:
            RefusedError: strict mode allows it only by reading more points than is sensible.
        """
        return indexed_after(self._peers().first, collection, since)

    def undated(self, collection: str) -> int | None:
        """How many points do not say when they were indexed; None where strict mode forbids the question."""
        return undated(self._peers().first, collection)

    def strays(self, collection: str, expected: Expected) -> Strays:
        """Compare a collection's payloads with who is expected in them; see ``strays.strays``."""
        return strays(self._peers().first, collection, expected)

    def survey(self, collections: Sequence[str]) -> list[Surveyed]:
        """Counts and statuses of many collections, on every peer; see ``survey.survey``."""
        return survey(self._peers(), collections, self._clock)

    def remove(self, collection: str, copy: str, points: int) -> dict[str, Any]:
        """Delete a collection that was copied; see ``remove.remove``.

        Raises:
            RefusedError: the copy does not hold what the collection holds; nothing was changed.
        """
        return remove(self._peers(restoring=True), collection, copy, points)

    def _peers(self, *, restoring: bool = False) -> Peers:
        """The peers, with the key that may restore or with the one that may only back up."""
        settings = self._settings
        key = settings.restore_api_key if restoring and settings.restore_api_key else settings.api_key
        with self._guard:
            if restoring not in self._opened:
                self._opened[restoring] = Peers(settings.urls, key)
            return self._opened[restoring]
