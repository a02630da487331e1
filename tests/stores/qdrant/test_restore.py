"""Bringing a collection back, and refusing to, on any server."""

from __future__ import annotations

import time

import pytest

from shared.blob.storage import Storage
from shared.errors import (
    IntegrityError,
    InvalidRequestError,
    ProofFailedError,
    RefusedError,
    TargetInTheWayError,
)
from shared.model.backups import Count, Quality
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming, request_for, set_of, step_for
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def test_a_restored_collection_equals_the_one_that_was_backed_up(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 40)
    before = server.points(name)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    server.drop(name)
    evidence = store.restore(step_for(part, target=name), facts)
    assert server.points(name) == before
    assert set(evidence["points"]["counted"].values()) == {40}
    assert evidence["read_back"] == {"points": 40, "of": 40, "vectors": 40, "sampled": False}
    assert set(evidence["status"].values()) == {"green"}
    assert evidence["safety_snapshots"] == []


def test_a_collection_of_several_shards_comes_back_whole(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 60, shards=2)
    part = store.back_up(request_for(server, name))
    target = named("_restored")
    evidence = store.restore(step_for(part, target=target), set_of(store, part))
    assert server.points(target) == server.points(name)
    assert {one["shard_id"] for one in evidence["shards"]} == {0, 1}


def test_an_empty_collection_is_backed_up_and_restored(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named())
    part = store.back_up(request_for(server, name))
    evidence = store.restore(step_for(part, target=(target := named())), set_of(store, part))
    assert server.count(target) == 0
    assert evidence["read_back"]["points"] == 0


def test_overwriting_keeps_a_safety_snapshot_of_what_was_there(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 20)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    server.write(name, range(20, 35))
    evidence = store.restore(step_for(part, target=name, overwrites=True), facts)
    assert server.count(name) == 20
    assert [one["name"] for one in evidence["safety_snapshots"]] == server.snapshots(name)


def test_a_target_that_appeared_since_the_plan_is_not_overwritten(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 5)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    server.write(name, range(5, 9))
    with pytest.raises(TargetInTheWayError) as refused:
        store.restore(step_for(part, target=name), facts)
    assert refused.value.specific_code == "target_exists"
    assert server.count(name) == 9


def test_a_step_that_was_begun_before_is_repeated_over_its_own_remains(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 5)
    part = store.back_up(request_for(server, name))
    target = server.create(named(), 2)
    evidence = store.restore(step_for(part, target=target), set_of(store, part), begun_before=True)
    assert server.count(target) == 5
    assert evidence["safety_snapshots"] == []


def test_an_alias_is_never_restored_to(server: Server, store: QdrantStore, named: Naming) -> None:
    name = server.create(named(), 5)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    live = server.create(named(), 9)
    alias = f"{live}_alias"
    server.alias(alias, live)
    with pytest.raises(TargetInTheWayError) as refused:
        store.restore(step_for(part, target=alias, overwrites=True), facts)
    server.alias(alias, None)
    assert refused.value.specific_code == "target_is_alias"
    assert server.count(live) == 9


@pytest.mark.parametrize(("shape", "told"), [({"dimension": 4}, "4 dimensions"), ({"shards": 2}, "2 shard")])
def test_a_collection_of_another_shape_in_the_way_is_left_alone(
    server: Server, store: QdrantStore, storage: Storage, named: Naming, shape: dict[str, int], told: str
) -> None:
    name = server.create(named(), 5)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    other = server.create(named(), 7, **shape)
    storage.client(part.blob.container, part.blob.name).delete_blob()  # not even read
    with pytest.raises(TargetInTheWayError, match=told) as refused:
        store.restore(step_for(part, target=other, overwrites=True), facts)
    assert refused.value.specific_code == "incompatible_collection"
    assert server.count(other) == 7
    assert server.snapshots(other) == []


def test_where_a_copy_is_kept_elsewhere_the_server_keeps_none(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 20)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    store.restore(step_for(part, target=name, overwrites=True), facts, copied=True)
    assert server.snapshots(name) == []


def test_a_restore_that_does_not_match_the_backup_is_not_believed(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 12)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    claimed = facts.collections[0].model_copy(update={"points": Count(value=13, quality=Quality.EXACT)})
    with pytest.raises(ProofFailedError, match="has 12 points") as failed:
        store.restore(step_for(part, target=named()), facts.model_copy(update={"collections": (claimed,)}))
    assert failed.value.specific_code == "count_differs"


def test_a_target_name_too_long_is_refused_before_any_work(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 3)
    part = store.back_up(request_for(server, name))
    with pytest.raises(InvalidRequestError) as refused:
        store.restore(step_for(part, target=(target := named("x" * 180))), set_of(store, part))
    assert refused.value.specific_code == "name_too_long"
    assert not server.exists(target)


def test_a_truncated_blob_leaves_the_collection_that_would_be_overwritten_as_it_is(
    server: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    name = server.create(named(), 10)
    part = store.back_up(request_for(server, name))
    facts = set_of(store, part)
    blob = storage.client(part.blob.container, part.blob.name)
    blob.upload_blob(blob.download_blob().readall()[:-1000], overwrite=True)
    server.write(name, [10])
    with pytest.raises(IntegrityError):
        store.restore(step_for(part, target=name, overwrites=True), facts)
    assert server.count(name) == 11
    assert server.snapshots(name) == []


def test_snapshots_of_a_newer_server_are_refused(server: Server, store: QdrantStore, named: Naming) -> None:
    part = store.back_up(request_for(server, server.create(named(), 3)))
    facts = set_of(store, part).model_copy(update={"versions": {str(part.peer_id): "1.99.0"}})
    with pytest.raises(RefusedError) as refused:
        store.restore(step_for(part, target=named()), facts)
    assert refused.value.specific_code == "version_too_old"


def test_a_set_that_lacks_a_shard_is_refused(server: Server, store: QdrantStore, named: Naming) -> None:
    part = store.back_up(request_for(server, server.create(named(), 3)))
    facts = set_of(store, part)
    holes = facts.collections[0].model_copy(update={"shard_ids": (0, 1)})
    with pytest.raises(RefusedError) as refused:
        store.restore(step_for(part, target=named()), facts.model_copy(update={"collections": (holes,)}))
    assert refused.value.specific_code == "shards_not_in_set"


def test_a_large_collection_is_read_back_by_an_even_sample(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 2_300)
    part = store.back_up(request_for(server, name))
    began = time.monotonic()
    evidence = store.restore(step_for(part, target=named()), set_of(store, part))
    assert evidence["read_back"]["sampled"]
    assert 1_500 < evidence["read_back"]["points"] <= 2_000
    assert time.monotonic() - began < 60
