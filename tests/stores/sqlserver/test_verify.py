"""Verifying a committed backup: the blobs against the manifest, the pages against their checksums."""

from __future__ import annotations

import pytest
from azure.storage.blob import BlobServiceClient

from local.azurite import Azurite
from shared.errors import IntegrityError, InvalidRequestError, NotPermittedError
from shared.model.backups import Kind, Manifest, QdrantFacts
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database

pytestmark = pytest.mark.real


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.DIFFERENTIAL, Kind.LOG])
def test_a_sound_backup_is_confirmed_by_the_server_itself(
    store: SqlServerStore, database: Database, kind: Kind
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(kind)
    evidence = store.verify(chain.manifest(1))
    assert evidence["backup_set_uuid"] == chain.taken[1][2].facts.backup_set_uuid
    assert "is valid" in evidence["server_said"]
    assert evidence["blobs"][0]["size"] > 0


def test_a_login_that_may_not_ask_leaves_the_blobs_as_the_evidence_and_says_so(
    store: SqlServerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    for code, told in (("permission", True), ("login_failed", False)):

        def refused(*_: object, code: str = code, **__: object) -> None:
            raise NotPermittedError("CREATE DATABASE permission denied.", code=code)

        monkeypatch.setattr("shared.stores.sqlserver.verify.run_long", refused)
        if told:
            evidence = store.verify(chain.manifest(0))
            assert evidence["server_said"].startswith("not asked")
            assert "CREATE DATABASE" in evidence["server_said"]
        else:
            with pytest.raises(NotPermittedError):
                store.verify(chain.manifest(0))


def test_a_hash_that_was_recorded_is_checked(disk_store: SqlServerStore, database: Database) -> None:
    chain = Chain(disk_store, database.name)
    facts = chain.take(Kind.FULL).facts
    assert disk_store.verify(chain.manifest(0))["blobs"][0]["sha256_checked"] is True
    wrong = facts.files[0].model_copy(update={"sha256": "0" * 64})
    manifest = chain.manifest(0).model_copy(update={"facts": facts.model_copy(update={"files": (wrong,)})})
    with pytest.raises(IntegrityError, match="SHA-256"):
        disk_store.verify(manifest)


def test_a_blob_that_is_gone_is_found_out(
    store: SqlServerStore, database: Database, azurite: Azurite
) -> None:
    chain = Chain(store, database.name)
    ref = chain.take(Kind.FULL).facts.files[0]
    with BlobServiceClient(azurite.url, credential=azurite.account_key) as service:
        service.get_blob_client(ref.container, ref.name).delete_blob()
    with pytest.raises(IntegrityError) as failed:
        store.verify(chain.manifest(0))
    assert failed.value.specific_code == "blob_gone"


def test_a_blob_that_was_written_again_is_found_out(
    store: SqlServerStore, database: Database, azurite: Azurite
) -> None:
    chain = Chain(store, database.name)
    ref = chain.take(Kind.FULL).facts.files[0]
    with BlobServiceClient(azurite.url, credential=azurite.account_key) as service:
        blob = service.get_blob_client(ref.container, ref.name)
        blob.upload_blob(blob.download_blob().readall(), overwrite=True)
    with pytest.raises(IntegrityError) as failed:
        store.verify(chain.manifest(0))
    assert failed.value.specific_code == "blob_changed"


def test_a_snapshot_set_is_not_verified_here(disk_store: SqlServerStore, database: Database) -> None:
    chain = Chain(disk_store, database.name)
    chain.take(Kind.FULL)
    manifest: Manifest = chain.manifest(0).model_copy(
        update={"facts": QdrantFacts(versions={}, collections=(), parts=())}
    )
    with pytest.raises(InvalidRequestError):
        disk_store.verify(manifest)
