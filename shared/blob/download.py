"""Bytes out of Blob Storage: streamed, and checked against what was recorded when they were written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from azure.core import MatchConditions
from azure.core.exceptions import AzureError

from shared.blob.blocks import etag_if_written_with
from shared.blob.failures import failure
from shared.blob.storage import Storage
from shared.errors import BackupSystemError, ConflictError, IntegrityError, NotFoundError
from shared.model.backups import BlobRef

_HINT = "Choose another backup; `octopus-backup list` shows them."


def read(storage: Storage, ref: BlobRef, *, on_bytes: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The bytes of a blob, in pieces of at most 8 MiB.

    Whoever takes them must take them to the end: only there it is known that they are the right ones.

    Args:
        storage: the storage account.
        ref: the blob as it was recorded.
        on_bytes: told the size of each piece.

    Raises:
        IntegrityError: the blob is gone, was changed, or its bytes are not those that were recorded.
        UnreachableError: no answer after all retries.
        NotPermittedError: the credential lacks the right to read.
        StorageError: Blob Storage refused, for instance because the blob is in the archive tier.
    """
    digest = hashlib.sha256()
    for piece in _pieces(storage, ref):
        if ref.sha256:
            digest.update(piece)
        if on_bytes:
            on_bytes(len(piece))
        yield piece
    if ref.sha256 and digest.hexdigest() != ref.sha256:
        raise IntegrityError(
            f"The bytes of {ref.container}/{ref.name} are not those that were backed up: their SHA-256 is "
            f"{digest.hexdigest()}, {ref.sha256} was recorded.",
            _HINT,
        )


def _pieces(storage: Storage, ref: BlobRef) -> Iterator[bytes]:
    blob = storage.client(ref.container, ref.name)
    taken = 0
    try:
        stream = blob.download_blob(etag=ref.etag, match_condition=MatchConditions.IfNotModified)
        for piece in stream.chunks():
            taken += len(piece)
            yield piece
    except AzureError as error:
        # Cut for the same reason as in ``translated``, which cannot stand around a yield.
        raise _judged(failure(error, f"read {ref.container}/{ref.name}"), storage, ref) from None
    if taken != ref.size:
        raise IntegrityError(
            f"{ref.container}/{ref.name} has {taken} bytes, {ref.size} were recorded.", _HINT
        )


def _judged(error: BackupSystemError, storage: Storage, ref: BlobRef) -> BackupSystemError:
    if not isinstance(error, NotFoundError | ConflictError):
        return error
    # If-Match fails on a blob that is not there, too.
    there = etag_if_written_with(storage.client(ref.container, ref.name), {})
    what = "is gone" if there is None else "was changed after it was recorded"
    return IntegrityError(f"A blob of this backup {what}: {ref.container}/{ref.name}.", _HINT)
