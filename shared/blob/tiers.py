"""Access tiers: archived blobs are asked to come back online; their bytes and ETags do not change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from azure.storage.blob import RehydratePriority, StandardBlobTier

from shared.blob.failures import translated
from shared.blob.storage import Storage
from shared.model.backups import BlobRef

ARCHIVE: Final = "Archive"
_SOON: Final = RehydratePriority("High")  # under an hour, where the standard priority takes up to 15


def bring_online(storage: Storage, blobs: Iterable[BlobRef]) -> list[str]:
    """Ask for every archived blob to be made readable, and tell which are not yet. May be repeated.

    Args:
        storage: the storage account.
        blobs: as the catalogue knows them.

    Returns:
        ``container/name`` of each blob that cannot be read yet; empty when all can.

    Raises:
        NotFoundError: one is gone.
        UnreachableError, NotPermittedError, StorageError: one could not be asked for.
    """
    pending = []
    for blob in blobs:
        client = storage.client(blob.container, blob.name)
        with translated(f"bring {blob.container}/{blob.name} online"):
            there = client.get_blob_properties()
            if there.blob_tier != ARCHIVE:
                continue
            if not there.archive_status:  # asked for before: the server refuses to be asked twice
                client.set_standard_blob_tier(StandardBlobTier.HOT, rehydrate_priority=_SOON)
                there = client.get_blob_properties()
            if there.blob_tier == ARCHIVE:
                pending.append(f"{blob.container}/{blob.name}")
    return pending
