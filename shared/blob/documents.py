"""Small JSON documents in Blob Storage, each changed by one writer at a time.

Every write carries an attempt in the blob's metadata. A write whose reply was lost is sent again by the SDK
and then refused, because the name is taken or the ETag has changed; the attempt shows that it was ourselves.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob import BlobPrefix, ContentSettings

from shared.blob.blocks import ATTEMPT, etag_if_written_with
from shared.blob.failures import translated
from shared.blob.listing import Entry, listed
from shared.blob.storage import Storage
from shared.errors import AlreadyExistsError, ConflictError, IntegrityError, NotFoundError


@dataclass(frozen=True)
class Stored:
    """A document as it was read."""

    name: str
    value: dict[str, Any]
    etag: str


def create(
    storage: Storage,
    container: str,
    name: str,
    value: dict[str, Any],
    *,
    metadata: Mapping[str, str] | None = None,
    attempt: str | None = None,
) -> str:
    """Write a new document.

    Args:
        storage: the storage account.
        container: where it goes.
        name: its name.
        value: plain JSON data.
        metadata: shown by a listing; ASCII, together under 8 KiB.
        attempt: when given, a document of that name by the same attempt counts as written.

    Returns:
        The ETag.

    Raises:
        AlreadyExistsError: the name is taken.
        UnreachableError, NotPermittedError, StorageError: it could not be written.
    """
    return _write(storage, container, name, value, metadata or {}, attempt, None)


def replace(storage: Storage, container: str, name: str, value: dict[str, Any], etag: str) -> str:
    """Write a document over the version that was read.

    Returns:
        The new ETag.

    Raises:
        ConflictError: somebody changed or removed it meanwhile.
        UnreachableError, NotPermittedError, StorageError: it could not be written.
    """
    return _write(storage, container, name, value, {}, None, etag)


def put(storage: Storage, container: str, name: str, value: dict[str, Any]) -> None:
    """Write a document whatever is there; only for what a single writer owns.

    Raises:
        UnreachableError, NotPermittedError, StorageError: it could not be written.
    """
    with translated(f"write {container}/{name}"):
        storage.client(container, name).upload_blob(_bytes(value), overwrite=True, content_settings=_JSON)


def read(storage: Storage, container: str, name: str) -> Stored:
    """Read a document.

    Raises:
        NotFoundError: it is not there.
        IntegrityError: it is not a JSON object.
        UnreachableError, NotPermittedError, StorageError: it could not be read.
    """
    with translated(f"read {container}/{name}"):
        stream = storage.client(container, name).download_blob()
        text = stream.readall()
    try:
        value = json.loads(text)
    except ValueError:  # also when it is no text at all
        value = None
    if not isinstance(value, dict):
        raise IntegrityError(
            f"{container}/{name} is not a JSON document.",
            "It was not written by this system, or was damaged.",
        )
    return Stored(name, value, str(stream.properties.etag))


def entries(storage: Storage, container: str, prefix: str) -> Iterator[Entry]:
    """The blobs whose name begins with ``prefix``, sorted by name; reads none of them.

    Raises:
        UnreachableError, NotPermittedError, StorageError: they could not be listed.
    """
    with translated(f"list {container}/{prefix}"):
        yield from listed(storage.container(container), prefix)


def folders(storage: Storage, container: str, prefix: str) -> list[str]:
    """What follows ``prefix`` up to the next slash in the names that begin with it, each once, sorted.

    Raises:
        UnreachableError, NotPermittedError, StorageError: they could not be listed.
    """
    with translated(f"list {container}/{prefix}"):
        found = storage.container(container).walk_blobs(name_starts_with=prefix, delimiter="/")
        return [one.name.removeprefix(prefix).rstrip("/") for one in found if isinstance(one, BlobPrefix)]


def delete(storage: Storage, container: str, name: str) -> None:
    """Remove a blob; one that is not there is as good as removed.

    Raises:
        UnreachableError, NotPermittedError, StorageError: it could not be removed.
    """
    try:
        with translated(f"delete {container}/{name}"):
            storage.client(container, name).delete_blob(delete_snapshots="include")
    except NotFoundError:
        return


_JSON = ContentSettings(content_type="application/json")


def _bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode("ascii")


def _write(
    storage: Storage,
    container: str,
    name: str,
    value: dict[str, Any],
    metadata: Mapping[str, str],
    attempt: str | None,
    etag: str | None,
) -> str:
    blob = storage.client(container, name)
    attempt = attempt or secrets.token_hex(16)
    condition = (
        {"match_condition": MatchConditions.IfMissing}
        if etag is None
        else {"match_condition": MatchConditions.IfNotModified, "etag": etag}
    )
    try:
        with translated(f"write {container}/{name}"):
            reply = blob.upload_blob(
                _bytes(value),
                overwrite=True,  # the condition decides
                metadata={**metadata, ATTEMPT: attempt},
                content_settings=_JSON,
                **condition,
            )
            return str(reply["etag"])
    except (AlreadyExistsError, ConflictError):
        ours = etag_if_written_with(blob, {ATTEMPT: attempt})
        if ours is None:
            raise
        return ours
