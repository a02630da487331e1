"""Streams become blobs: whole, hashed, committed once, or not at all."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.blob import blocks
from shared.blob import upload as upload_module
from shared.blob.blocks import IN_FLIGHT, MOST_BLOCKS, Block, stage
from shared.blob.download import read
from shared.blob.storage import Storage
from shared.blob.upload import BLOCK, block_size, upload
from shared.errors import (
    AlreadyExistsError,
    ConflictError,
    NotPermittedError,
    StorageError,
    UnreachableError,
)
from tests.stores.blob.support import Proxy

NAME = "qdrant/a/file.snapshot"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 1,000 bytes, so that few bytes make many of them."""
    monkeypatch.setattr(upload_module, "BLOCK", 1000)


def some_bytes(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


def in_pieces(data: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, len(data), length):
        yield data[start : start + length]


def there(storage: Storage, name: str = NAME) -> bool:
    return storage.client("data", name).exists()


@pytest.mark.parametrize("length", [7, 1000, 64 * 1024])
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 12_345])
@pytest.mark.usefixtures("small_blocks")
def test_a_stream_is_read_back_whatever_its_length_and_its_pieces(
    storage: Storage, count: int, length: int
) -> None:
    data = some_bytes(count)
    told: list[int] = []
    ref = upload(storage, "data", NAME, in_pieces(data, length), attempt="a1", on_bytes=told.append)
    assert (ref.size, ref.sha256) == (count, hashlib.sha256(data).hexdigest())
    assert b"".join(read(storage, ref)) == data
    assert sum(told) == count


def test_blocks_of_their_real_size_go_through_tls(storage: Storage) -> None:
    data = some_bytes(2 * BLOCK + 1)
    ref = upload(storage, "data", NAME, [data], attempt="a1")
    staged, _ = storage.client("data", NAME).get_block_list("committed")
    assert [block.size for block in staged] == [BLOCK, BLOCK, 1]
    assert b"".join(read(storage, ref)) == data


def test_an_expected_size_makes_blocks_large_enough_for_it() -> None:
    tebibyte = 1024**4
    assert block_size(None) == block_size(300 * 1024**3) == BLOCK
    assert tebibyte / block_size(tebibyte) <= 40_000


@pytest.mark.usefixtures("small_blocks")
def test_an_error_of_the_source_reaches_the_caller_and_leaves_no_blob(storage: Storage) -> None:
    def source() -> Iterator[bytes]:
        yield some_bytes(10_000)
        raise ConnectionResetError("the server went away")

    with pytest.raises(ConnectionResetError):
        upload(storage, "data", NAME, source(), attempt="a1")
    assert not there(storage)


@pytest.mark.usefixtures("small_blocks")
def test_a_block_that_is_refused_stops_the_upload_and_leaves_no_blob(
    troubled: Storage, storage: Storage, proxy: Proxy
) -> None:
    fourth = some_bytes(12_000)[3000:4000]
    proxy.answer(lambda r: r.stages_block and r.body == fourth, 403, "AuthorizationPermissionMismatch")
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for piece in in_pieces(some_bytes(12_000) * 20, 1000):
            taken += 1
            yield piece

    with pytest.raises(NotPermittedError, match="AuthorizationPermissionMismatch"):
        upload(troubled, "data", NAME, source(), attempt="a1")
    assert taken < 240, "the rest of the source is not read"
    assert not any(request.commits for request in proxy.seen)
    assert not there(storage)


def test_bytes_that_are_damaged_on_their_way_are_refused_by_their_md5(
    troubled: Storage, storage: Storage, proxy: Proxy
) -> None:
    proxy.damage_request(lambda request: request.stages_block, times=9)
    with pytest.raises(StorageError, match="Md5Mismatch") as refused:
        upload(troubled, "data", NAME, [b"some bytes"], attempt="a1")
    assert refused.value.retryable
    assert not there(storage)


@pytest.mark.usefixtures("small_blocks")
def test_passing_trouble_is_outlasted(troubled: Storage, storage: Storage, proxy: Proxy) -> None:
    proxy.answer(lambda request: request.stages_block, 503, "ServerBusy")
    proxy.lose_reply(lambda request: request.stages_block)  # together no more than one block may bear
    data = some_bytes(5000)
    ref = upload(troubled, "data", NAME, in_pieces(data, 500), attempt="a1")
    assert b"".join(read(storage, ref)) == data


def test_trouble_that_does_not_pass_is_unreachable_after_bounded_retries(
    troubled: Storage, storage: Storage, proxy: Proxy
) -> None:
    proxy.answer(lambda request: request.commits, 503, "ServerBusy", times=99)
    with pytest.raises(UnreachableError, match="ServerBusy"):
        upload(troubled, "data", NAME, [b"some bytes"], attempt="a1")
    assert sum(request.commits for request in proxy.seen) == 3
    assert not there(storage)


def test_a_commit_whose_reply_was_lost_succeeds(troubled: Storage, storage: Storage, proxy: Proxy) -> None:
    proxy.lose_reply(lambda request: request.commits)
    ref = upload(troubled, "data", NAME, [b"some bytes"], attempt="a1")
    assert sum(request.commits for request in proxy.seen) == 2, "the proxy made no trouble"
    assert b"".join(read(storage, ref)) == b"some bytes"


def test_a_name_that_somebody_else_has_taken_is_refused_and_left_as_it_is(storage: Storage) -> None:
    first = upload(storage, "data", NAME, [b"theirs"], attempt="a1")
    with pytest.raises(AlreadyExistsError):
        upload(storage, "data", NAME, [b"ours"], attempt="a2")
    assert b"".join(read(storage, first)) == b"theirs"


def test_a_foreign_blob_of_that_name_is_not_taken_for_ours(storage: Storage) -> None:
    storage.client("data", NAME).upload_blob(b"ours")  # the same bytes, but no attempt of ours
    with pytest.raises(AlreadyExistsError):
        upload(storage, "data", NAME, [b"ours"], attempt="a1")


def test_a_repeated_attempt_finds_its_own_blob(storage: Storage) -> None:
    first = upload(storage, "data", NAME, [b"ours"], attempt="a1")
    assert upload(storage, "data", NAME, [b"ou", b"rs"], attempt="a1") == first


def test_a_repeated_attempt_with_other_bytes_is_refused(storage: Storage) -> None:
    upload(storage, "data", NAME, [b"ours"], attempt="a1")
    with pytest.raises(AlreadyExistsError):
        upload(storage, "data", NAME, [b"others"], attempt="a1")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("small_blocks")
def test_two_uploads_of_one_name_at_the_same_time_never_mix(storage: Storage, seed: int) -> None:
    contents = [some_bytes(9500, seed), some_bytes(9500, seed + 100)]
    together = threading.Barrier(2)

    def one(data: bytes) -> object:
        together.wait()
        try:
            return upload(storage, "data", NAME, in_pieces(data, 1000), attempt="a1").sha256
        except AlreadyExistsError:
            return None

    with ThreadPoolExecutor(2) as pool:
        winners = [won for won in pool.map(one, contents) if won]
    assert len(winners) == 1
    stored = storage.client("data", NAME).download_blob().readall()
    assert hashlib.sha256(stored).hexdigest() == winners[0]


@pytest.mark.usefixtures("small_blocks")
def test_a_lost_lock_stops_the_upload_before_its_next_block(storage: Storage) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise ConflictError("The lock was lost.")

    with pytest.raises(ConflictError):
        upload(storage, "data", NAME, in_pieces(some_bytes(9000), 1000), attempt="a1", check=check)
    assert asked == 3
    assert not there(storage)


def test_a_lock_that_is_lost_during_the_last_block_stops_the_commit(storage: Storage) -> None:
    answers = iter([None, ConflictError("The lock was lost.")])

    def check() -> None:
        if answer := next(answers):
            raise answer

    with pytest.raises(ConflictError):
        upload(storage, "data", NAME, [b"one block"], attempt="a1", check=check)
    assert not there(storage)


def test_never_more_than_four_blocks_are_in_flight_and_their_order_is_kept() -> None:
    guard = threading.Lock()
    now = most = made = sent = 0
    ahead: list[int] = []

    def send() -> None:
        nonlocal now, most, sent
        with guard:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with guard:
            now -= 1
            sent += 1

    def source() -> Iterator[Block]:
        nonlocal made
        for index in range(60):
            made += 1
            ahead.append(made - sent)
            yield Block(f"{index:05d}", 1, send)

    assert stage(source()) == [f"{index:05d}" for index in range(60)]
    assert most == IN_FLIGHT
    assert max(ahead) <= IN_FLIGHT + 1, "four in flight and the one that is being made"


def test_more_blocks_than_a_blob_can_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BLOCKS == 50_000
    monkeypatch.setattr(blocks, "MOST_BLOCKS", 10)
    with pytest.raises(StorageError, match="larger"):
        stage(Block(str(index), 1, lambda: None) for index in range(11))
