"""Qdrant: snapshots of every collection on every peer, into Blob Storage and back, with proof."""

from shared.stores.qdrant.backup import SnapshotRequest, agreed, counted
from shared.stores.qdrant.inspect import CollectionState, QdrantState
from shared.stores.qdrant.store import QdrantStore
from shared.stores.qdrant.strays import Expected, Strays
from shared.stores.qdrant.survey import Surveyed

__all__ = [
    "CollectionState",
    "Expected",
    "QdrantState",
    "QdrantStore",
    "SnapshotRequest",
    "Strays",
    "Surveyed",
    "agreed",
    "counted",
]
