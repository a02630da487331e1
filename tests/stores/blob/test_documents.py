"""Small JSON documents: created once, replaced only as they were read, listed without being read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.blob import documents
from shared.blob.storage import Storage
from shared.errors import AlreadyExistsError, ConflictError, IntegrityError, NotFoundError
from tests.stores.blob.support import Proxy, Request

NAME = "runs/backup/x.json"
VALUE = {"schema": 1, "name": "é\U0001f600 \"'\\ \u2028", "n": 2**63, "list": [None, True, 1.5]}


def writes(request: Request) -> bool:
    return request.writes_document


def test_a_document_is_read_as_it_was_written(storage: Storage) -> None:
    etag = documents.create(storage, "state", NAME, VALUE)
    assert documents.read(storage, "state", NAME) == documents.Stored(NAME, VALUE, etag)


def test_a_name_is_created_once(storage: Storage) -> None:
    documents.create(storage, "state", NAME, {"who": "first"})
    with pytest.raises(AlreadyExistsError):
        documents.create(storage, "state", NAME, {"who": "second"})
    assert documents.read(storage, "state", NAME).value == {"who": "first"}


def test_the_same_attempt_counts_as_written_and_another_does_not(storage: Storage) -> None:
    etag = documents.create(storage, "state", NAME, {"who": "first"}, attempt="a1")
    assert documents.create(storage, "state", NAME, {"who": "first"}, attempt="a1") == etag
    with pytest.raises(AlreadyExistsError):
        documents.create(storage, "state", NAME, {"who": "second"}, attempt="a2")


def test_a_document_is_replaced_only_as_it_was_read(storage: Storage) -> None:
    first = documents.create(storage, "state", NAME, {"n": 1})
    second = documents.replace(storage, "state", NAME, {"n": 2}, first)
    with pytest.raises(ConflictError):
        documents.replace(storage, "state", NAME, {"n": 3}, first)
    assert documents.read(storage, "state", NAME) == documents.Stored(NAME, {"n": 2}, second)


def test_a_document_that_was_removed_is_not_replaced(storage: Storage) -> None:
    etag = documents.create(storage, "state", NAME, {"n": 1})
    documents.delete(storage, "state", NAME)
    with pytest.raises(ConflictError):
        documents.replace(storage, "state", NAME, {"n": 2}, etag)


def test_a_lost_reply_to_a_write_of_ours_is_a_success(
    troubled: Storage, storage: Storage, proxy: Proxy
) -> None:
    proxy.lose_reply(writes)
    etag = documents.create(troubled, "state", NAME, {"n": 1})
    proxy.lose_reply(writes)
    documents.replace(troubled, "state", NAME, {"n": 2}, etag)
    assert sum(writes(request) for request in proxy.seen) == 4, "the proxy made no trouble"
    assert documents.read(storage, "state", NAME).value == {"n": 2}


def test_a_lost_reply_and_another_writer_in_between_is_a_conflict(
    troubled: Storage, storage: Storage, proxy: Proxy
) -> None:
    etag = documents.create(storage, "state", NAME, {"n": 1})

    def then_another_writes(request: Request) -> bool:
        if request.writes_document and len(proxy.seen) == 2:  # the second try of the same write
            there = documents.read(storage, "state", NAME)
            documents.replace(storage, "state", NAME, {"n": "theirs"}, there.etag)
        return False

    proxy.lose_reply(lambda request: request.writes_document and len(proxy.seen) == 1)
    proxy.lose_reply(then_another_writes)
    with pytest.raises(ConflictError):
        documents.replace(troubled, "state", NAME, {"n": "ours"}, etag)
    assert documents.read(storage, "state", NAME).value == {"n": "theirs"}


def test_of_many_writers_of_one_version_exactly_one_succeeds(storage: Storage) -> None:
    etag = documents.create(storage, "state", NAME, {"n": 0})

    def one(n: int) -> int | None:
        try:
            documents.replace(storage, "state", NAME, {"n": n}, etag)
        except ConflictError:
            return None
        return n

    with ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(one, range(1, 17)) if n]
    assert [documents.read(storage, "state", NAME).value["n"]] == winners


def test_put_writes_over_what_is_there(storage: Storage) -> None:
    documents.put(storage, "state", NAME, {"n": 1})
    documents.put(storage, "state", NAME, {"n": 2})
    assert documents.read(storage, "state", NAME).value == {"n": 2}


def test_what_is_not_there_is_not_found_and_is_as_good_as_deleted(storage: Storage) -> None:
    with pytest.raises(NotFoundError):
        documents.read(storage, "state", NAME)
    documents.delete(storage, "state", NAME)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b'{"n": 1'])
def test_what_is_no_json_object_is_an_integrity_error(storage: Storage, text: bytes) -> None:
    storage.client("state", NAME).upload_blob(text)
    with pytest.raises(IntegrityError, match="not a JSON document"):
        documents.read(storage, "state", NAME)


def test_a_listing_shows_what_begins_with_the_prefix_with_its_metadata(storage: Storage) -> None:
    for name in ("a/1.json", "a/2.json", "b/1.json"):
        documents.create(
            storage, "state", name, {"n": 1}, metadata={"hint": '{"name":"\\u00e9 x"}'}, attempt="t"
        )
    found = list(documents.entries(storage, "state", "a/"))
    assert [entry.name for entry in found] == ["a/1.json", "a/2.json"]
    assert found[0].metadata == {"hint": '{"name":"\\u00e9 x"}', "attempt": "t"}
    assert found[0].etag == documents.read(storage, "state", "a/1.json").etag
    assert found[0].size > 0


def test_folders_are_what_lies_directly_below(storage: Storage) -> None:
    for name in ("a/x/1.json", "a/x/2.json", "a/y/z/1.json", "a/file.json", "b/x/1.json"):
        documents.create(storage, "state", name, {})
    assert documents.folders(storage, "state", "a/") == ["x", "y"]
    assert documents.folders(storage, "state", "none/") == []
