"""Writing one blob in blocks: several on their way at once, then one commit that makes the blob.

Until the commit there is no blob. Blocks that are never committed are removed by Blob Storage after a week.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, BlobClient

from shared.blob.failures import translated
from shared.blob.storage import Storage
from shared.errors import AlreadyExistsError, NotFoundError, StorageError

MOST_BLOCKS: Final = 50_000
"""Blocks of one blob at most (Microsoft's scalability targets of Blob Storage)."""

IN_FLIGHT = 4

ATTEMPT = "attempt"
"""Metadata key that says which attempt wrote a blob."""


@dataclass(frozen=True)
class Block:
    """A piece of a blob.

    Args:
        id: up to 64 characters, as long as that of every other block of the blob. It names the content too,
            so that two uploads of one name at the same time can never mix their blocks.
        size: in bytes.
        send: sends it.
    """

    id: str
    size: int
    send: Callable[[], object]


def stage(
    blocks: Iterable[Block],
    on_bytes: Callable[[int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> list[str]:
    """Send all blocks, four at a time; memory holds those four and the one that is being made.

    Args:
        blocks: made one after the other while earlier ones are sent.
        on_bytes: told the size of each block that has arrived; called from this thread.
        check: asked before each block; raises to stop, for instance because a lock was lost.

    Returns:
        The ids, in order, for ``commit``.

    Raises:
        StorageError: more blocks than a blob can have.
        Exception: what ``blocks``, ``check`` or a block's ``send`` raised; nothing more is sent after it.
    """
    ids: list[str] = []
    flying: dict[Future[object], int] = {}

    def land() -> None:
        for done in wait(flying, return_when=FIRST_COMPLETED).done:
            size = flying.pop(done)
            done.result()
            if on_bytes:
                on_bytes(size)

    pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="block")
    try:
        for block in blocks:
            if check:
                check()
            if len(flying) == IN_FLIGHT:
                land()
            if len(ids) == MOST_BLOCKS:
                raise StorageError(
                    f"The data is larger than {MOST_BLOCKS} blocks, the most that a blob can have.",
                    "Its expected size was not known when the upload began, or was far too small.",
                )
            ids.append(block.id)
            flying[pool.submit(block.send)] = block.size
        while flying:
            land()
    finally:
        pool.shutdown(cancel_futures=True)
    return ids


def commit(storage: Storage, container: str, name: str, ids: list[str], metadata: Mapping[str, str]) -> str:
    """Make the blob out of its blocks, unless the name is taken.

    When the reply to a commit is lost, the SDK sends it again and is told that the name is taken: by
    ourselves, which the metadata shows.

    Args:
        storage: the storage account.
        container: the blob's container.
        name: the blob's name.
        ids: its blocks, in order; none for an empty blob.
        metadata: with the attempt, and what else makes this content this content.

    Returns:
        The blob's ETag.

    Raises:
        AlreadyExistsError: the name is taken by something else.
        UnreachableError, NotPermittedError, StorageError: it could not be committed.
    """
    blob = storage.client(container, name)
    try:
        with translated(f"commit {container}/{name}"):
            reply = blob.commit_block_list(
                [BlobBlock(block_id) for block_id in ids],
                metadata=dict(metadata),
                match_condition=MatchConditions.IfMissing,
            )
            return str(reply["etag"])
    except AlreadyExistsError:
        etag = etag_if_written_with(blob, metadata)
        if etag is None:
            raise
        return etag


def etag_if_written_with(blob: BlobClient, metadata: Mapping[str, str]) -> str | None:
    """The ETag of the blob if its metadata holds all of ``metadata``; None if not, or without a blob.

    Raises:
        UnreachableError, NotPermittedError, StorageError: nobody can tell.
    """
    try:
        with translated(f"look at {blob.container_name}/{blob.blob_name}"):
            there = blob.get_blob_properties()
    except NotFoundError:
        return None
    if metadata.items() <= there.metadata.items():
        return str(there.etag)
    return None
