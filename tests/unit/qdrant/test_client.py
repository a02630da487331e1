"""One peer over HTTP: what is sent, what is repeated, what breaks, and how much memory it takes."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest
import stamina
from pydantic import SecretStr

from shared.errors import (
    IntegrityError,
    InvalidRequestError,
    NotPermittedError,
    OutcomeUnknownError,
    QdrantError,
    UnreachableError,
)
from shared.stores.qdrant.client import address
from shared.stores.qdrant.snapshots import ServerSnapshot
from shared.stores.qdrant.tar_walk import TarWalk, walked
from shared.stores.qdrant.transfer import INTERRUPTIONS, download, judged
from tests.unit.qdrant.conftest import Connect, ManualClock
from tests.unit.qdrant.scripted import Answer, Seen, result, scripted

MIB = 1024 * 1024
KEY = SecretStr("the-key-9c1d")


def test_a_request_carries_the_key_and_asks_for_no_compression(connect: Connect) -> None:
    with scripted(lambda _: result([])) as server:
        connect(server.url, KEY).read("collections")
    assert server.seen[0].headers["api-key"] == "the-key-9c1d"
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_proxy_of_the_environment_does_not_get_the_key(
    monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with scripted(lambda _: result([])) as server:
        assert connect(server.url, KEY).read("collections") == []


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a/b", "/c/a%2Fb"),
        ("a b", "/c/a%20b"),
        ("100%25", "/c/100%2525"),
        ("../x", "/c/..%2Fx"),
        ("a?b#c", "/c/a%3Fb%23c"),
        ("ü", "/c/%C3%BC"),
        ("a\nb", "/c/a%0Ab"),
    ],
)
def test_a_name_is_sent_as_one_part_of_the_path(name: str, sent: str, connect: Connect) -> None:
    assert address("c", name) == sent
    with scripted(lambda _: result(1)) as server:
        connect(server.url).read("c", name)
    assert server.seen[0].path == sent


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_move_the_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        address("collections", name)


def test_a_reading_request_is_repeated_while_the_server_is_busy(connect: Connect) -> None:
    answers = iter([Answer(503, b'{"status":{"error":"busy"}}'), Answer(502), result(7)])
    with scripted(lambda _: next(answers)) as server:
        assert connect(server.url).read("x") == 7
    assert len(server.seen) == 3


def test_repetition_ends(connect: Connect) -> None:
    with scripted(lambda _: Answer(503)) as server, pytest.raises(QdrantError):
        connect(server.url).read("x")
    assert len(server.seen) == 3


def test_a_refusal_is_not_repeated(connect: Connect) -> None:
    with (
        scripted(lambda _: Answer(401, b"Invalid API key or JWT")) as server,
        pytest.raises(NotPermittedError),
    ):
        connect(server.url).read("x")
    assert len(server.seen) == 1


def test_a_rate_limit_is_waited_for_as_long_as_it_says(connect: Connect) -> None:
    answers = iter([Answer(429, b"{}", {"retry-after": "1"}), result("in")])
    with stamina.set_testing(False), scripted(lambda _: next(answers)) as server:
        assert connect(server.url).read("x") == "in"
    assert len(server.seen) == 2


def test_a_rate_limit_that_says_an_hour_is_an_error_at_once(connect: Connect) -> None:
    answer = Answer(429, b"{}", {"retry-after": "3600"})
    with scripted(lambda _: answer) as server, pytest.raises(QdrantError) as limited:
        connect(server.url).read("x")
    assert limited.value.specific_code == "rate_limited"
    assert len(server.seen) == 1


def test_work_is_sent_once_and_a_lost_answer_is_unknown(connect: Connect) -> None:
    cut = Answer(200, b"{", announced=500)
    with scripted(lambda _: cut) as server, pytest.raises(OutcomeUnknownError):
        connect(server.url).send("POST", "x")
    assert len(server.seen) == 1


def test_what_was_never_sent_is_unreachable_and_known_not_to_have_happened(connect: Connect) -> None:
    with pytest.raises(UnreachableError) as unreachable:
        connect("http://127.0.0.1:9", KEY).send("POST", "x")
    assert not isinstance(unreachable.value, OutcomeUnknownError)


def test_something_that_is_no_qdrant_is_named_as_such(connect: Connect) -> None:
    with scripted(lambda _: Answer(200, b"<html>")) as server, pytest.raises(QdrantError) as other:
        connect(server.url).read("collections")
    assert other.value.specific_code == "not_qdrant"


def test_a_redirect_is_not_followed_with_the_key(connect: Connect) -> None:
    elsewhere = Answer(302, b"", {"location": "http://127.0.0.1:9/"})
    with scripted(lambda _: elsewhere) as server, pytest.raises(QdrantError):
        connect(server.url, KEY).read("x")
    assert len(server.seen) == 1


class Huge:
    """A valid tar that is made while it is read: one shard whose segment has ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        digest = hashlib.sha256()
        self.length = 0
        for piece in self:
            digest.update(piece)
            self.length += len(piece)
        self.described = ServerSnapshot(name="s", size=self.length, checksum=digest.hexdigest())

    def __iter__(self) -> Iterator[bytes]:
        yield self._header("0/segments/a.tar", self._size)
        piece = bytes(range(256)) * (MIB // 256)
        for _ in range(self._size // MIB):
            yield piece
        yield self._header("0/wal/open-1", 0) + b"\0" * 1_024

    @staticmethod
    def _header(name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf(tarfile.GNU_FORMAT)


def peak_of_download(size: int, clock: ManualClock, connect: Connect) -> int:
    huge = Huge(size)
    walk = TarWalk()
    ended: list[bool] = []
    with scripted(lambda _: Answer(200, huge, announced=huge.length)) as server:
        peer = connect(server.url)
        tracemalloc.start()
        try:
            chunks = walked(download(peer, "c", huge.described, clock), walk)
            for _ in judged(chunks, huge.described, lambda: ended.append(True), lambda _: None):
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert ended == [True]
    assert walk.shards()[0].segments == ("a",)
    return peak


def test_memory_does_not_grow_with_the_snapshot_that_is_downloaded(
    clock: ManualClock, connect: Connect
) -> None:
    small, large = peak_of_download(8 * MIB, clock, connect), peak_of_download(96 * MIB, clock, connect)
    assert large < 8 * MIB
    assert large - small < 2 * MIB


def test_memory_does_not_grow_with_the_snapshot_that_is_uploaded(connect: Connect) -> None:
    huge = Huge(96 * MIB)
    with scripted(lambda _: result(True)) as server:
        tracemalloc.start()
        try:
            connect(server.url).upload(
                "c", query={"wait": "true"}, field="snapshot", file_name="x.snapshot",
                content=iter(huge), size=huge.length,
            )  # fmt: skip
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * MIB
    (seen,) = server.seen
    assert seen.path == "/c?wait=true"
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert "transfer-encoding" not in seen.headers
    assert b'name="snapshot"; filename="x.snapshot"' in seen.start
    assert seen.length > huge.length


def described(data: bytes, *, size: int | None = None, checksum: str | None = None) -> ServerSnapshot:
    return ServerSnapshot(
        name="s",
        size=len(data) if size is None else size,
        checksum=checksum or hashlib.sha256(data).hexdigest(),
    )


def from_offset(data: bytes, seen: Seen, **headers: str) -> Answer:
    start = int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    return Answer(206 if start else 200, data[start:], {"etag": '"1"', **headers}, announced=None)


def test_a_broken_download_goes_on_where_it_was_with_the_same_file(
    clock: ManualClock, connect: Connect
) -> None:
    data = bytes(range(256)) * 4_000

    def answer(seen: Seen) -> Answer:
        whole = from_offset(data, seen)
        assert isinstance(whole.body, bytes)
        if len(server.seen) < 4:
            return Answer(whole.status, whole.body[:100_000], whole.headers, announced=len(whole.body))
        return whole

    with scripted(answer) as server:
        got = b"".join(download(connect(server.url), "c", described(data), clock))
    assert got == data
    assert [seen.headers.get("range") for seen in server.seen] == [
        None, "bytes=100000-", "bytes=200000-", "bytes=300000-",
    ]  # fmt: skip
    assert {seen.headers.get("if-match") for seen in server.seen[1:]} == {'"1"'}
    assert clock.passed > 0


def test_a_download_that_breaks_for_ever_ends(clock: ManualClock, connect: Connect) -> None:
    cut = Answer(206, b"x", {"etag": '"1"'}, announced=5)
    with scripted(lambda _: cut) as server, pytest.raises(UnreachableError) as broken:
        list(download(connect(server.url), "c", described(b"x" * 1_000), clock))
    assert broken.value.specific_code == "download_broken"
    assert len(server.seen) == INTERRUPTIONS + 1


def test_a_file_that_changed_between_two_pieces_is_never_mixed(clock: ManualClock, connect: Connect) -> None:
    answers = iter([Answer(200, b"abc", {"etag": '"1"'}, announced=9), Answer(412, b"")])
    with scripted(lambda _: next(answers)) as server, pytest.raises(IntegrityError) as changed:
        list(download(connect(server.url), "c", described(b"abcdefghi"), clock))
    assert changed.value.specific_code == "snapshot_changed"


def test_a_server_that_starts_again_instead_of_resuming_is_not_believed(
    clock: ManualClock, connect: Connect
) -> None:
    answers = iter([Answer(200, b"abc", {"etag": '"1"'}, announced=9), Answer(200, b"abcdefghi")])
    got: list[bytes] = []
    with scripted(lambda _: next(answers)) as server, pytest.raises(QdrantError) as refused:
        got.extend(download(connect(server.url), "c", described(b"abcdefghi"), clock))
    assert refused.value.specific_code == "not_resumable"
    assert got == [b"abc"]


@pytest.mark.parametrize("size", [2, 4])
def test_another_size_than_the_list_says_is_found(clock: ManualClock, size: int, connect: Connect) -> None:
    with scripted(lambda _: Answer(200, b"abc")) as server, pytest.raises(IntegrityError) as wrong:
        list(download(connect(server.url), "c", described(b"abc", size=size), clock))
    assert wrong.value.specific_code == "size_mismatch"


def test_the_last_chunk_is_followed_by_an_error_when_the_checksum_differs() -> None:
    passed: list[int] = []
    chunks = judged(iter([b"ab", b"c"]), described(b"abc", checksum="0" * 64), lambda: None, passed.append)
    assert [next(chunks), next(chunks)] == [b"ab", b"c"]
    with pytest.raises(IntegrityError) as wrong:
        next(chunks)
    assert wrong.value.specific_code == "checksum_mismatch"
    assert passed == [2, 3]


def test_the_standard_library_agrees_that_the_huge_tar_is_one() -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(Huge(MIB)))) as tar:
        assert tar.getnames() == ["0/segments/a.tar", "0/wal/open-1"]
