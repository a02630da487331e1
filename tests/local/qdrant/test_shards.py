"""Shards are opened when they are needed, and only so many of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import qdrant_edge as edge

from local.qdrant.answers import QdrantError
from local.qdrant.shards import ShardPool, create

COUNT = edge.CountRequest(exact=True)


def config() -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot), max_search_threads=1
    )


@pytest.fixture
def pool() -> Iterator[ShardPool]:
    pool = ShardPool(limit=2)
    yield pool
    pool.close()


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / str(number) for number in range(4)]
    for folder in made:
        create(folder, config())
    return made


def test_more_shards_than_may_be_open_are_all_usable_and_keep_what_was_written(
    pool: ShardPool, folders: list[Path]
) -> None:
    for number, folder in enumerate(folders):
        with pool.use(folder, config()) as shard:
            made = [edge.Point(one, [0.5, 0.5], {}) for one in range(number)]
            shard.update(edge.UpdateOperation.upsert_points(made))
        assert len(pool) <= 2
    counts = []
    for folder in folders:
        with pool.use(folder, config()) as shard:
            counts.append(shard.count(COUNT))
    assert counts == [0, 1, 2, 3]


def test_a_shard_in_use_is_not_closed_however_many_others_are_wanted(
    pool: ShardPool, folders: list[Path]
) -> None:
    with ExitStack() as stack:
        shards = [stack.enter_context(pool.use(folder, config())) for folder in folders]
        assert [shard.count(COUNT) for shard in shards] == [0] * 4
    assert len(pool) == 2


def test_a_released_folder_may_be_moved_and_opened_elsewhere(pool: ShardPool, folders: list[Path]) -> None:
    with pool.use(folders[0], config()) as shard:
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [0.5, 0.5], {})]))
    pool.release(folders[0])
    moved = folders[0].rename(folders[0].with_name("moved"))
    with pool.use(moved, config()) as shard:
        assert shard.count(COUNT) == 1


def test_a_refusal_of_the_engine_has_the_servers_prefix(pool: ShardPool, folders: list[Path]) -> None:
    with pytest.raises(QdrantError) as refused, pool.use(folders[0], config()) as shard:
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [0.5] * 3, {})]))
    assert (refused.value.status, refused.value.text) == (
        400,
        "Wrong input: Vector dimension error: expected dim: 2, got 3",
    )
