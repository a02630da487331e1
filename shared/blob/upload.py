"""Bytes into Blob Storage: streamed, hashed, in constant memory, committed at the end or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import ceil
from typing import Final

from shared.blob.blocks import ATTEMPT, Block, commit, stage
from shared.blob.failures import translated
from shared.blob.storage import Storage
from shared.model.backups import BlobRef

BLOCK: Final = 8 * 1024 * 1024
"""Bytes of a block, where the whole is not so large that it would take too many of them."""

_EXPECTED_BLOCKS = 40_000  # of the 50,000 that a blob can have, so that a size may be estimated too low


def upload(
    storage: Storage,
    container: str,
    name: str,
    chunks: Iterable[bytes],
    *,
    attempt: str,
    size_hint: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> BlobRef:
    """Write a stream to a new blob. The same attempt may be repeated; it never overwrites anything.

    Args:
        storage: the storage account.
        container: where the blob goes.
        name: a name that was never used before.
        chunks: the bytes, in pieces of any size; an empty stream makes an empty blob.
        attempt: identifies this attempt, so that our own blob is known when the reply to its commit is lost.
        size_hint: bytes expected, if known; needed above 390 GiB, because a blob has at most 50,000 blocks.
        on_bytes: told the size of each block that has arrived; called from this thread.
        check: asked before each block and before the commit; raises to stop, for instance because a lock was
            lost.

    Returns:
        The blob, with the SHA-256 of all bytes.

    Raises:
        AlreadyExistsError: the name is taken, and not by this attempt with these bytes.
        UnreachableError: no answer after all retries.
        NotPermittedError: the credential lacks the right to write.
        StorageError: Blob Storage refused.
        Exception: what ``chunks`` or ``check`` raised. Nothing was committed, in this as in all cases above.
    """
    blob = storage.client(container, name)
    whole = hashlib.sha256()
    size = 0

    def send(block_id: str, data: bytes) -> None:
        with translated(f"write to {container}/{name}"):
            blob.stage_block(block_id, data, validate_content=True)  # sends the MD5, which the service checks

    def blocks() -> Iterator[Block]:
        nonlocal size
        for index, data in enumerate(_cut(chunks, block_size(size_hint))):
            whole.update(data)
            size += len(data)
            # The hash of everything up to here names the content, at no cost.
            block_id = f"{index:05d}-{whole.hexdigest()[:32]}"
            yield Block(block_id, len(data), partial(send, block_id, data))

    ids = stage(blocks(), on_bytes, check)
    if check:
        check()
    sha256 = whole.hexdigest()
    etag = commit(storage, container, name, ids, {ATTEMPT: attempt, "sha256": sha256})
    return BlobRef(container=container, name=name, size=size, etag=etag, sha256=sha256)


def block_size(expected: int | None) -> int:
    """Bytes per block for a whole of ``expected`` bytes: 8 MiB, or more where those would be too many."""
    return max(BLOCK, ceil((expected or 0) / _EXPECTED_BLOCKS))


def _cut(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The same bytes in pieces of ``length``; the last one is what is left, if anything is."""
    buffer = io.BytesIO()  # gives its bytes away without a copy
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            room = length - buffer.tell()
            buffer.write(rest[:room])
            rest = rest[room:]
            if buffer.tell() == length:
                full, buffer = buffer, io.BytesIO()
                yield full.getvalue()
    if buffer.tell():
        yield buffer.getvalue()
