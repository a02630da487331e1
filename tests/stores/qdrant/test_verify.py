"""Reading committed snapshots back, on any server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.blob.storage import Storage
from shared.clock import new_ulid
from shared.errors import (
    IntegrityError,
)
from shared.model.backups import Kind, Manifest, QdrantFacts, Store
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming, request_for, set_of, step_for
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def manifest_of(facts: QdrantFacts) -> Manifest:
    now = datetime.now(UTC)
    return Manifest(
        id=new_ulid(), store=Store.QDRANT, scope="qdrant", kind=Kind.SNAPSHOT_SET, run_id=new_ulid(),
        attempt=new_ulid(), started_at=now, finished_at=now, made_by="test", facts=facts,
    )  # fmt: skip


def test_a_good_set_verifies_with_evidence(server: Server, store: QdrantStore, named: Naming) -> None:
    part = store.back_up(request_for(server, server.create(named(), 10)))
    evidence = store.verify(manifest_of(set_of(store, part)))
    assert evidence["bytes"] == part.blob.size
    assert evidence["parts"][0]["sha256"] == part.checksum
    assert evidence["parts"][0]["segments"] == len(part.shards[0].segments)


def test_a_changed_blob_is_found_by_verify_and_never_restored(
    server: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    part = store.back_up(request_for(server, server.create(named(), 10)))
    facts = set_of(store, part)
    blob = storage.client(part.blob.container, part.blob.name)
    damaged = bytearray(blob.download_blob().readall())
    damaged[len(damaged) // 2] ^= 1
    etag = blob.upload_blob(bytes(damaged), overwrite=True)["etag"]
    same_etag = part.model_copy(update={"blob": part.blob.model_copy(update={"etag": etag})})
    altered = facts.model_copy(update={"parts": (same_etag,)})
    with pytest.raises(IntegrityError, match="1 of 1 snapshots"):
        store.verify(manifest_of(altered))
    target = named()
    with pytest.raises(IntegrityError):
        store.restore(step_for(same_etag, target=target), altered)
    assert not server.exists(target)


def test_a_manifest_that_tells_of_other_segments_does_not_verify(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    part = store.back_up(request_for(server, server.create(named(), 10)))
    facts = set_of(store, part)
    other = part.shards[0].model_copy(update={"segments": ("another",)})
    claimed = facts.model_copy(update={"parts": (part.model_copy(update={"shards": (other,)}),)})
    with pytest.raises(IntegrityError, match="other shards or segments"):
        store.verify(manifest_of(claimed))
