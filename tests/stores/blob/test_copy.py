"""Blobs that SQL Server wrote: noted as they are, or copied inside the storage account."""

from __future__ import annotations

import pytest

from shared.blob import copy as copy_module
from shared.blob.copy import copy, reference
from shared.blob.download import read
from shared.blob.storage import Storage
from shared.errors import AlreadyExistsError, IntegrityError

DATA = bytes(range(256)) * 10_000  # 2.5 MB
HOSTILE = "sqlserver/a 'b\"/é;[x]?#%41&=+~/1.bak"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_module, "_BLOCK", 1024 * 1024)
    monkeypatch.setattr(copy_module, "block_size", lambda _: 1)


def test_a_copy_has_the_same_bytes_and_none_of_them_pass_through_us(storage: Storage) -> None:
    storage.client("landing", HOSTILE).upload_blob(DATA)
    ref = copy(storage, "landing", HOSTILE, "data", HOSTILE, attempt="a1")
    assert (ref.container, ref.size, ref.sha256) == ("data", len(DATA), None)
    assert b"".join(read(storage, ref)) == DATA
    assert len(storage.client("data", HOSTILE).get_block_list("committed")[0]) == 3


def test_an_empty_blob_is_copied_too(storage: Storage) -> None:
    storage.client("landing", "empty").upload_blob(b"")
    assert b"".join(read(storage, copy(storage, "landing", "empty", "data", "empty", attempt="a1"))) == b""


def test_a_repeated_copy_finds_its_own_blob_and_another_attempt_does_not(storage: Storage) -> None:
    storage.client("landing", "1.bak").upload_blob(DATA)
    first = copy(storage, "landing", "1.bak", "data", "1.bak", attempt="a1")
    assert copy(storage, "landing", "1.bak", "data", "1.bak", attempt="a1") == first
    with pytest.raises(AlreadyExistsError):
        copy(storage, "landing", "1.bak", "data", "1.bak", attempt="a2")


def test_a_source_that_changes_meanwhile_is_not_committed(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = storage.client("landing", "1.bak")
    source.upload_blob(DATA)
    signed = storage.read_url

    def overwritten(*args: object) -> str:
        source.upload_blob(DATA[::-1], overwrite=True)
        return signed(*args)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(storage, "read_url", overwritten)
    with pytest.raises(IntegrityError, match="while it was copied"):
        copy(storage, "landing", "1.bak", "data", "1.bak", attempt="a1")
    assert not storage.client("data", "1.bak").exists()


def test_a_source_that_is_not_there_is_an_integrity_error(storage: Storage) -> None:
    with pytest.raises(IntegrityError, match=r"landing/1\.bak is not there"):
        copy(storage, "landing", "1.bak", "data", "1.bak", attempt="a1")


def test_a_reference_is_what_the_reader_demands(storage: Storage) -> None:
    storage.client("data", "noted.bak").upload_blob(DATA)
    ref = reference(storage, "data", "noted.bak")
    assert ref.size == len(DATA)
    assert b"".join(read(storage, ref)) == DATA
