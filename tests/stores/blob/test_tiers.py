"""Archived blobs come back online; their bytes and ETags stay."""

from __future__ import annotations

import pytest
from azure.storage.blob import StandardBlobTier

from shared.blob import copy, tiers
from shared.blob.storage import Storage
from shared.errors import NotFoundError
from shared.model.backups import BlobRef


def stored(storage: Storage, name: str, tier: StandardBlobTier) -> BlobRef:
    blob = storage.client("data", name)
    blob.upload_blob(b"some bytes")
    blob.set_standard_blob_tier(tier)
    return copy.reference(storage, "data", name)


def test_an_archived_blob_is_asked_for_and_the_others_are_left_alone(storage: Storage) -> None:
    archived = stored(storage, "old", StandardBlobTier.ARCHIVE)
    cool = stored(storage, "newer", StandardBlobTier.COOL)
    for _ in range(2):  # the second time there may be nothing left to ask for
        pending = tiers.bring_online(storage, [archived, cool])
        assert set(pending) <= {"data/old"}
    there = storage.client("data", "old").get_blob_properties()
    assert there.blob_tier == "Hot" or there.archive_status == "rehydrate-pending-to-hot"
    assert copy.reference(storage, "data", "old") == archived
    assert storage.client("data", "newer").get_blob_properties().blob_tier == "Cool"


def test_one_that_is_gone_is_named(storage: Storage) -> None:
    gone = BlobRef(container="data", name="gone", size=1, etag="x")
    with pytest.raises(NotFoundError, match="data/gone"):
        tiers.bring_online(storage, [gone])
