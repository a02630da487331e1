"""Snapshot files of collections: made, described, listed, deleted."""

from __future__ import annotations

import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.qdrant import snapshot_tar
from local.qdrant.answers import not_found
from local.qdrant.node import Node

CHECKSUM = ".checksum"


def create(node: Node, name: str) -> dict[str, Any]:
    """Make a snapshot of a collection and describe it.

    The file's name has whole seconds: a second snapshot in the same second replaces the first, and both
    callers hear the same name, as on a real server.

    Raises:
        QdrantError: 404, or the collection's data is lost.
    """
    collection = node.registry.get(name)
    collection.readable("create snapshot")
    with node.activity.snapshot(collection.name):
        moment = datetime.now(UTC)
        file_name = f"{collection.name}-{node.registry.peer_id}-{moment:%Y-%m-%d-%H-%M-%S}.snapshot"
        time.sleep(node.faults.strike("create_delay") or 0)
        with tempfile.TemporaryDirectory(dir=node.registry.tmp, prefix=f"{file_name}-temp-") as scratch:
            archive = Path(scratch) / "archive"
            with collection.lock:
                collection.ask("create snapshot", lambda shard: shard.flush())
                snapshot_tar.pack(collection.folder, collection.shard_ids, Path(scratch), archive)
            folder = node.registry.snapshots / collection.name
            folder.mkdir(exist_ok=True)
            file = archive.rename(folder / file_name)
            checksum_file(file).write_text(sha256(file))
        return describe(node, file)


def describe(node: Node, file: Path) -> dict[str, Any]:
    """The description of a snapshot file; without a checksum where the server never computed one."""
    facts = file.stat()
    made = datetime.fromtimestamp(int(facts.st_mtime), UTC).replace(tzinfo=None)
    description = {"name": file.name, "creation_time": made.isoformat(), "size": facts.st_size}
    if checksum_file(file).exists():
        description["checksum"] = checksum_file(file).read_text()
        if node.faults.strike("checksum_wrong"):
            description["checksum"] = hashlib.sha256(b"another file").hexdigest()
    return description


def listing(node: Node, name: str) -> list[dict[str, Any]]:
    """The snapshots of a collection, in the arbitrary order of their folder.

    Raises:
        QdrantError: 404.
    """
    folder = node.registry.snapshots / node.registry.get(name).name
    if not folder.exists():
        return []
    files = [file for file in folder.iterdir() if file.is_file() and file.suffix != CHECKSUM]
    return [describe(node, file) for file in files]


def find(node: Node, name: str, snapshot: str) -> Path:
    """The file of a snapshot.

    Raises:
        QdrantError: 404 for the collection or the snapshot.
    """
    file = node.registry.snapshots / node.registry.get(name).name / snapshot
    if "/" in snapshot or snapshot in ("", "..", ".") or not file.is_file():
        raise not_found(f"Snapshot {snapshot} not found")
    return file


def delete(node: Node, name: str, snapshot: str) -> bool:
    """Delete a snapshot.

    Raises:
        QdrantError: 404.
    """
    file = find(node, name, snapshot)
    file.unlink()
    checksum_file(file).unlink(missing_ok=True)
    return True


def checksum_file(file: Path) -> Path:
    """Where the SHA-256 of a snapshot file is kept."""
    return file.with_name(file.name + CHECKSUM)


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
