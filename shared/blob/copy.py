"""Blobs that SQL Server wrote itself: taken note of, or copied inside Blob Storage, not through us."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Final

from shared.blob.blocks import ATTEMPT, Block, commit, stage
from shared.blob.failures import translated
from shared.blob.storage import Storage
from shared.blob.upload import block_size
from shared.errors import IntegrityError, NotFoundError
from shared.model.backups import BlobRef

_BLOCK: Final = 64 * 1024 * 1024  # bytes per Put Block From URL; no memory of ours is used
_SECONDS = 3600.0  # how long the address that a block is read from lasts; each block gets a fresh one


def reference(storage: Storage, container: str, name: str) -> BlobRef:
    """A blob as it is now, by its size and ETag; its bytes are not read.

    Raises:
        IntegrityError: it is not there, though somebody said that it was written.
        UnreachableError, NotPermittedError, StorageError: it could not be asked for.
    """
    try:
        with translated(f"look at {container}/{name}"):
            there = storage.client(container, name).get_blob_properties()
    except NotFoundError:
        raise IntegrityError(
            f"{container}/{name} is not there, though it should have been written just now.",
            "Check that SQL Server writes to the storage account that BACKUP_STORAGE_URL names.",
        ) from None
    return BlobRef(container=container, name=name, size=int(there.size), etag=str(there.etag))


def copy(
    storage: Storage, source_container: str, source_name: str, container: str, name: str, *, attempt: str
) -> BlobRef:
    """Copy a blob inside the storage account. The same attempt may be repeated; it overwrites nothing.

    Args:
        storage: the storage account.
        source_container: where the blob is.
        source_name: its name there.
        container: where the copy goes.
        name: a name that was never used before.
        attempt: identifies this attempt, so that our own copy is known when the reply to its commit is lost.

    Returns:
        The copy, without a SHA-256.

    Raises:
        IntegrityError: the source is not there, or was changed while it was copied.
        AlreadyExistsError: the name is taken, and not by this attempt.
        UnreachableError, NotPermittedError, StorageError: it could not be copied; nothing was committed.
    """
    source = reference(storage, source_container, source_name)
    blob = storage.client(container, name)
    version = hashlib.sha256(source.etag.encode()).hexdigest()[:32]

    def send(block_id: str, offset: int, length: int) -> None:
        with translated(f"copy {source_container}/{source_name} to {container}/{name}"):
            blob.stage_block_from_url(block_id, storage.read_url(source, _SECONDS), offset, length)

    def blocks() -> Iterator[Block]:
        step = max(_BLOCK, block_size(source.size))
        for index, offset in enumerate(range(0, source.size, step)):
            length = min(step, source.size - offset)
            block_id = f"{index:05d}-{version}"
            yield Block(block_id, length, partial(send, block_id, offset, length))

    ids = stage(blocks())
    if reference(storage, source_container, source_name) != source:
        raise IntegrityError(
            f"{source_container}/{source_name} was changed while it was copied.", "Repeat the backup."
        )
    etag = commit(storage, container, name, ids, {ATTEMPT: attempt, "source": version})
    return BlobRef(container=container, name=name, size=source.size, etag=etag)
