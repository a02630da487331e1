"""A committed snapshot, read back from Blob Storage and compared with what the manifest says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shared.blob.download import read
from shared.blob.storage import Storage
from shared.errors import IntegrityError
from shared.model.backups import Manifest, QdrantFacts, ShardPart, SnapshotPart
from shared.stores.qdrant.tar_walk import TarWalk

_SHOWN = 5


def verify(storage: Storage, manifest: Manifest, progress: Callable[[int], None]) -> dict[str, Any]:
    """Read every part's blob: its SHA-256, and shards, segments and WAL by the names in its tar.

    Args:
        storage: where the blobs are.
        manifest: of a snapshot set.
        progress: told how many bytes have passed so far.

    Returns:
        Evidence: ``parts``, each with collection, peer, size, SHA-256 and the number of shards and segments;
        ``bytes`` in all.

    Raises:
        IntegrityError: a part is not what was recorded; every part was looked at, the first few are named.
        UnreachableError, NotPermittedError, StorageError: Blob Storage could not be read.
    """
    if not isinstance(manifest.facts, QdrantFacts):
        raise IntegrityError(f"The manifest {manifest.id} is not that of a snapshot set.")
    evidence: list[dict[str, Any]] = []
    wrong: list[str] = []
    done = 0
    for part in manifest.facts.parts:
        try:
            evidence.append(verify_part(storage, part, _shifted(progress, done)))
        except IntegrityError as error:
            wrong.append(f"{part.collection!r} of peer {part.peer_id}: {error.message}")
        done += part.blob.size
    if wrong:
        raise IntegrityError(
            f"{len(wrong)} of {len(manifest.facts.parts)} snapshots are not what was backed up. "
            + " ".join(wrong[:_SHOWN])
            + (" …" if len(wrong) > _SHOWN else ""),
            "Back up again now, and restore from another recovery point.",
            code="backup_damaged",
        )
    return {"parts": evidence, "bytes": done}


def verify_part(storage: Storage, part: SnapshotPart, progress: Callable[[int], None]) -> dict[str, Any]:
    """The same for one part.

    Raises:
        IntegrityError: it is not what was recorded.
    """
    if part.blob.sha256 != part.checksum:
        raise IntegrityError(
            f"The manifest records two different SHA-256 of {part.blob.name}.", "Choose another backup."
        )
    walk, total = TarWalk(), 0
    for chunk in read(storage, part.blob):
        walk.feed(chunk)
        total += len(chunk)
        progress(total)
    found = walk.shards()
    if _comparable(found) != _comparable(part.shards):
        raise IntegrityError(
            f"The tar in {part.blob.name} holds other shards or segments than were recorded.",
            "Choose another backup.",
            code="contents_differ",
        )
    return {
        "collection": part.collection,
        "peer_id": part.peer_id,
        "bytes": total,
        "sha256": part.checksum,
        "shards": sum(1 for shard in found if shard.segments),
        "segments": sum(len(shard.segments) for shard in found),
    }


def _comparable(shards: Iterable[ShardPart]) -> set[tuple[int, frozenset[str], bool]]:
    return {(shard.shard_id, frozenset(shard.segments), shard.has_wal) for shard in shards}


def _shifted(progress: Callable[[int], None], by: int) -> Callable[[int], None]:
    return lambda passed: progress(by + passed)
