"""The walk over a snapshot's tar: on files of real servers, however they are cut, and on damaged ones."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import IntegrityError
from shared.model.backups import ShardPart
from shared.stores.qdrant.tar_walk import TarWalk, demand
from tests.unit.qdrant.recordings import VERSIONS, snapshot

NAMES = (
    "small",
    "two-shards",
    "segments",
    "empty",
    "named-quantized-indexed",
    "cluster-r1-n1",
    "cluster-r2-n1",
)


def walk(data: bytes, cut: int = 65_536) -> tuple[ShardPart, ...]:
    walker = TarWalk()
    for start in range(0, len(data), cut):
        walker.feed(data[start : start + cut])
    return walker.shards()


def as_tarfile_sees_it(data: bytes) -> tuple[ShardPart, ...]:
    """The same from the standard library, which needs the whole file."""
    segments: dict[int, set[str]] = {}
    wal: set[int] = set()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for name in tar.getnames():
            head, *rest = name.split("/")
            if head.isdigit():
                found = segments.setdefault(int(head), set())
                if len(rest) > 1 and rest[0] == "segments":
                    found.add(rest[1].removesuffix(".tar"))
                if len(rest) > 1 and rest[0] == "wal":
                    wal.add(int(head))
    return tuple(
        ShardPart(shard_id=shard, segments=tuple(sorted(found)), has_wal=shard in wal)
        for shard, found in sorted(segments.items())
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_real_snapshot_is_read_as_the_standard_library_reads_it(version: str, name: str) -> None:
    data = snapshot(version, name)
    assert walk(data) == as_tarfile_sees_it(data)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_does_not_matter_where_the_bytes_are_cut(version: str) -> None:
    data = snapshot(version, "small")
    seeded = random.Random(7)
    walker, position = TarWalk(), 0
    while position < len(data):
        length = seeded.choice((1, 2, 511, 512, 513, 4_000, 60_000))
        walker.feed(data[position : position + length])
        position += length
    assert walker.shards() == walk(data)


@pytest.mark.parametrize(("version", "held"), [("1.16.3", 1), ("1.19.0", 2)])
def test_a_node_of_a_cluster_holds_only_its_own_shards(version: str, held: int) -> None:
    shards = walk(snapshot(version, "cluster-r1-n1"))
    assert [one.shard_id for one in shards] == [0, 1, 2]
    assert [one.shard_id for one in shards if one.segments] == [held]
    demand(shards, [held], "it")
    with pytest.raises(IntegrityError, match=r"no segments/ and no wal/ of shard 0"):
        demand(shards, [0, held], "it")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_cut_short_has_no_shards_to_show(version: str) -> None:
    data = snapshot(version, "small")
    for kept in (0, 100, 512, len(data) // 2, len(data) - 1_024):
        with pytest.raises(IntegrityError):
            walk(data[:kept])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_header_with_a_flipped_bit_is_no_tar(version: str) -> None:
    data = bytearray(snapshot(version, "small"))
    data[3] ^= 1
    with pytest.raises(IntegrityError, match="not a readable tar"):
        walk(bytes(data))


def test_a_missing_wal_is_named() -> None:
    data = made({"0/segments/a.tar": 700, "0/shard_config.json": 3, "config.json": 9})
    with pytest.raises(IntegrityError, match=r"holds no wal/ of shard 0") as missing:
        demand(walk(data), [0], "The snapshot")
    assert missing.value.specific_code == "shard_missing_in_snapshot"


def test_a_shard_without_a_folder_is_named() -> None:
    with pytest.raises(IntegrityError, match="of shard 5"):
        demand(walk(made({"0/segments/a.tar": 1, "0/wal/open-1": 1})), [0, 5], "The snapshot")


def test_names_longer_than_a_header_are_read() -> None:
    name = "s" * 300
    data = made({f"7/segments/{name}/files/x": 10, "7/wal/open-1": 0})
    assert walk(data) == (ShardPart(shard_id=7, segments=(name,), has_wal=True),)


def test_contents_that_look_like_headers_are_not_read() -> None:
    inner = made({"9/segments/x.tar": 5})
    data = made({"0/segments/a.tar": inner, "0/wal/open-1": b""})
    assert [one.shard_id for one in walk(data)] == [0]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(
            st.integers(0, 99), st.sampled_from(["segments/a.tar", "segments/b.tar", "wal/open-1", "x.json"])
        ),
        st.integers(0, 3_000),
        max_size=12,
    ),
    st.integers(1, 2_000),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_tar_is_read_as_the_standard_library_reads_it(
    entries: dict[tuple[int, str], int], cut: int, kind: int
) -> None:
    data = made({f"{shard}/{rest}": size for (shard, rest), size in entries.items()}, kind)
    assert walk(data, cut) == as_tarfile_sees_it(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=3_000))
def test_bytes_that_are_no_tar_are_refused_and_never_crash(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        walk(b"\x01" + data)


def made(
    entries: dict[str, int] | dict[str, bytes] | dict[str, int | bytes], kind: int = tarfile.GNU_FORMAT
) -> bytes:
    """A tar with these entries; a number stands for that many bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, content in entries.items():
            data = content if isinstance(content, bytes) else b"\xff" * content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
