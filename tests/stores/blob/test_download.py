"""What is read back is what was recorded, or an error says that it is not."""

from __future__ import annotations

import pytest

from local.azurite import Azurite
from shared.blob import storage as storage_module
from shared.blob.download import read
from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.errors import IntegrityError, UnreachableError
from shared.model.backups import BlobRef
from tests.stores.blob.support import Proxy, storage_at

DATA = bytes(range(256)) * 400


@pytest.fixture
def ref(storage: Storage) -> BlobRef:
    return upload(storage, "data", "a/file.bak", [DATA], attempt="a1")


def taken(storage: Storage, ref: BlobRef) -> bytes:
    return b"".join(read(storage, ref))


def test_every_byte_is_told(storage: Storage, ref: BlobRef) -> None:
    told: list[int] = []
    assert b"".join(read(storage, ref, on_bytes=told.append)) == DATA
    assert sum(told) == len(DATA)


def test_large_blobs_come_in_pieces(azurite: Azurite, ref: BlobRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "_PIECE", 10_000)
    with storage_at(azurite.url, azurite.account_key) as small:
        pieces = list(read(small, ref))
    assert b"".join(pieces) == DATA
    assert max(map(len, pieces)) == 10_000


def test_a_blob_that_is_gone_is_said_to_be_gone(storage: Storage, ref: BlobRef) -> None:
    storage.client("data", ref.name).delete_blob()
    with pytest.raises(IntegrityError, match="gone"):
        taken(storage, ref)


@pytest.mark.parametrize("now", [DATA, DATA[:-1], b"\xff" + DATA[1:]], ids=["same", "truncated", "altered"])
def test_a_blob_that_was_written_over_is_not_trusted_even_with_the_same_bytes(
    storage: Storage, ref: BlobRef, now: bytes
) -> None:
    storage.client("data", ref.name).upload_blob(now, overwrite=True)
    with pytest.raises(IntegrityError, match="changed"):
        taken(storage, ref)


@pytest.mark.parametrize("now", [DATA[:-1], b"\xff" + DATA[1:]], ids=["truncated", "altered"])
def test_other_bytes_under_the_recorded_etag_are_found_by_size_or_hash(
    storage: Storage, ref: BlobRef, now: bytes
) -> None:
    storage.client("data", ref.name).upload_blob(now, overwrite=True)
    etag = storage.client("data", ref.name).get_blob_properties().etag
    with pytest.raises(IntegrityError, match=r"bytes"):
        taken(storage, ref.model_copy(update={"etag": etag}))


def test_without_a_recorded_hash_the_size_still_counts(storage: Storage, ref: BlobRef) -> None:
    unhashed = ref.model_copy(update={"sha256": None})
    assert taken(storage, unhashed) == DATA
    with pytest.raises(IntegrityError, match="were recorded"):
        taken(storage, unhashed.model_copy(update={"size": ref.size + 1}))


def test_a_connection_that_is_cut_in_the_middle_is_taken_up_again(
    troubled: Storage, proxy: Proxy, ref: BlobRef
) -> None:
    proxy.cut_reply(lambda request: request.reads_blob)
    assert taken(troubled, ref) == DATA
    assert sum(request.reads_blob for request in proxy.seen) == 2


def test_a_connection_that_is_always_cut_is_unreachable(
    troubled: Storage, proxy: Proxy, ref: BlobRef
) -> None:
    proxy.cut_reply(lambda request: request.reads_blob, times=99)
    with pytest.raises(UnreachableError):
        taken(troubled, ref)
    assert len(proxy.seen) < 20
