"""Snapshots that real servers made, verified and restored as if they had been backed up here."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from shared.blob.storage import Storage
from shared.blob.upload import upload
from shared.clock import SystemClock, new_ulid
from shared.errors import RefusedError
from shared.model.backups import CollectionFacts, Count, QdrantFacts, Quality, SnapshotPart
from shared.planning.versions import number
from shared.stores.qdrant import QdrantStore
from shared.stores.qdrant.tar_walk import TarWalk
from tests.stores.qdrant.conftest import Naming, step_for
from tests.stores.qdrant.server import Server
from tests.unit.qdrant.recordings import FOLDER, VERSIONS, snapshot


def recorded_set(storage: Storage, version: str, name: str) -> QdrantFacts:
    """A snapshot set of one recorded snapshot, its bytes in Blob Storage."""
    data = snapshot(version, name)
    about: dict[str, Any] = json.loads(
        (FOLDER / "snapshots" / version / f"{name}.snapshot.json").read_text("utf-8")
    )
    walk, moment = TarWalk(), SystemClock().now()
    walk.feed(data)
    attempt = new_ulid()
    count = Count(value=about["points_exact"], quality=Quality.EXACT)
    part = SnapshotPart(
        peer_id=1, collection=about["collection"], snapshot_name="recorded", points=count,
        checksum=hashlib.sha256(data).hexdigest(), started_at=moment, finished_at=moment,
        shards=walk.shards(), blob=upload(storage, "data", f"recorded/{attempt}", [data], attempt=attempt),
    )  # fmt: skip
    collection = CollectionFacts(
        name=about["collection"],
        config=about["config"],
        shard_ids=tuple(shard["shard_id"] for shard in about["local_shards"]),
        points=count,
    )
    return QdrantFacts(versions={"1": version}, collections=(collection,), parts=(part,))


@pytest.mark.real
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name",
    ["small", "two-shards", "segments", "named-quantized-indexed", "day2", "octopus-1536", "empty"],
)
def test_a_real_servers_snapshot_comes_back_whole(
    server: Server, store: QdrantStore, storage: Storage, named: Naming, version: str, name: str
) -> None:
    if number(store.inspect().peers[0].version) < number(version):
        pytest.skip(f"the server under test is older than {version}")
    facts = recorded_set(storage, version, name)
    evidence = store.restore(step_for(*facts.parts, target=(target := named())), facts)
    expected = facts.collections[0].points.value
    assert server.count(target) == expected
    assert evidence["read_back"]["of"] == expected


def test_a_collection_with_custom_sharding_is_refused_before_anything_is_read(
    server: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    facts = recorded_set(storage, "1.19.0", "small")
    (collection,) = facts.collections
    params = collection.config["params"] | {"sharding_method": "custom"}
    custom = collection.model_copy(update={"config": {"params": params}})
    with pytest.raises(RefusedError) as refused:
        store.restore(
            step_for(*facts.parts, target=(target := named())),
            facts.model_copy(update={"collections": (custom,)}),
        )
    assert refused.value.specific_code == "custom_sharding"
    assert not server.exists(target)
