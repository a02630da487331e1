"""The Qdrant store: what is there, backed up, verified, restored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from shared.blob.storage import Storage
from shared.clock import Clock
from shared.model.backups import Count, Manifest, QdrantFacts, SnapshotPart
from shared.model.plans import CollectionStep
from shared.settings import QdrantSettings
from shared.stores.qdrant.aliases import restore_aliases
from shared.stores.qdrant.backup import BusyCollections, SnapshotRequest, back_up, counted
from shared.stores.qdrant.inspect import QdrantState, inspect
from shared.stores.qdrant.peers import Peers, exact_count, sample
from shared.stores.qdrant.restore import restore
from shared.stores.qdrant.verify import verify

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

    def _peers(self, *, restoring: bool = False) -> Peers:
        """The peers, with the key that may restore or with the one that may only back up."""
        settings = self._settings
        key = settings.restore_api_key if restoring and settings.restore_api_key else settings.api_key
        with self._guard:
            if restoring not in self._opened:
                self._opened[restoring] = Peers(settings.urls, key)
            return self._opened[restoring]
