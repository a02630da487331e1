"""Qdrant: snapshots of every collection on every peer, into Blob Storage and back, with proof."""

from shared.stores.qdrant.backup import SnapshotRequest, counted
from shared.stores.qdrant.inspect import CollectionState, QdrantState
from shared.stores.qdrant.store import QdrantStore

__all__ = [
    "CollectionState",
    "QdrantState",
    "QdrantStore",
    "SnapshotRequest",
    "counted",
]
