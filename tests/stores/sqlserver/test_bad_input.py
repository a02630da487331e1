"""What goes wrong outside is answered with one clear error, and no secret is in it."""

from __future__ import annotations

import logging
import socket
import traceback
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from pydantic import SecretStr

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.clock import SystemClock, new_ulid
from shared.errors import (
    BackupSystemError,
    IntegrityError,
    InvalidRequestError,
    InvalidSettingsError,
    NotPermittedError,
    SqlServerError,
    StoreError,
    UnreachableError,
)
from shared.model.backups import BlobRef, Kind
from shared.settings import SqlServerSettings
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database, TestServer, make_database, store_for

pytestmark = pytest.mark.real

CANARY = "CANARY-7f3a8b2c"


def other_store(server: TestServer, storage: Storage, **changes: str) -> SqlServerStore:
    """A store whose connection string has other values for some keys."""
    pairs = dict(part.split("=", 1) for part in server.connection.get_secret_value().split(";") if part)
    text = ";".join(f"{key}={value}" for key, value in {**pairs, **changes}.items())
    changed = TestServer(SecretStr(text), server.backup_dir, server.backup_dir_local, server.child)
    return store_for(changed, storage, "disk")


def told_in(error: BaseException) -> str:
    """Everything that a log or a reply could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


def test_an_unreachable_server_is_named(
    server: TestServer, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.sqlserver.connection.LOGIN_SECONDS", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError) as failed:
            other_store(server, storage, SERVER=f"127.0.0.1,{port}", PWD=CANARY).server()
    assert f"127.0.0.1,{port}" in failed.value.message
    assert failed.value.retryable
    assert CANARY not in told_in(failed.value)


def test_a_wrong_password_is_not_permitted_and_not_shown(server: TestServer, storage: Storage) -> None:
    with pytest.raises(NotPermittedError) as refused:
        other_store(server, storage, PWD=CANARY).server()
    assert refused.value.specific_code == "login_failed"
    assert not refused.value.retryable
    assert CANARY not in told_in(refused.value)


def test_a_missing_driver_is_a_setting_to_correct(server: TestServer, storage: Storage) -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        other_store(server, storage, DRIVER="{/nowhere/libmsodbcsql.so}", PWD=CANARY).server()
    assert "DRIVER" in str(refused.value)
    assert CANARY not in told_in(refused.value)


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.DIFFERENTIAL, Kind.LOG])
def test_a_missing_database_cannot_be_backed_up(
    store: SqlServerStore, database: Database, kind: Kind
) -> None:
    with pytest.raises(SqlServerError) as failed:
        Chain(store, database.name + "_nowhere").take(kind)
    assert failed.value.specific_code == "database_missing"


def test_the_simple_recovery_model_has_no_log_backups(store: SqlServerStore, database: Database) -> None:
    simple = make_database(database.admin, f"{database.name}_simple", simple=True)
    chain = Chain(store, simple.name)
    chain.take(Kind.FULL)
    with pytest.raises(SqlServerError) as failed:
        chain.take(Kind.LOG)
    assert failed.value.specific_code == "recovery_model_simple"
    assert not failed.value.retryable


@pytest.mark.parametrize("kind", [Kind.DIFFERENTIAL, Kind.LOG])
def test_without_a_full_backup_the_others_say_so(
    store: SqlServerStore, database: Database, kind: Kind
) -> None:
    with pytest.raises(SqlServerError) as failed:
        Chain(store, database.name).take(kind)
    assert failed.value.specific_code == "no_full_backup"


@pytest.mark.parametrize("name", ["", "x" * 129, "a\0b"])
def test_an_impossible_name_is_refused_before_anything_is_sent(store: SqlServerStore, name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        Chain(store, name).take(Kind.FULL)
    assert refused.value.specific_code == "invalid_name"


def test_a_failed_backup_leaves_no_file_and_no_blob(
    store: SqlServerStore, database: Database, storage: Storage, backup_folder: Path
) -> None:
    request = Chain(store, database.name).request(Kind.LOG)
    before = set(backup_folder.iterdir())
    with pytest.raises(SqlServerError):
        store.back_up(request)
    assert set(backup_folder.iterdir()) == before
    assert list(storage.container("data").list_blobs(name_starts_with=request.prefix)) == []


def test_a_folder_that_is_not_the_servers_is_found_out(
    server: TestServer, storage: Storage, database: Database, tmp_path: Path
) -> None:
    settings = SqlServerSettings.model_validate(
        {
            "SQLSERVER_CONNECTION": server.connection,
            "SQLSERVER_BACKUP_MEDIUM": "disk",
            "SQLSERVER_BACKUP_DIR": server.backup_dir,
            "SQLSERVER_BACKUP_DIR_LOCAL": str(tmp_path),
        }
    )
    with pytest.raises(StoreError) as failed:
        Chain(SqlServerStore(settings, storage, SystemClock()), database.name).take(Kind.FULL)
    assert failed.value.specific_code == "backup_file_missing"
    for left in server.backup_dir_local.glob("octopus-full-*"):
        left.unlink()


def overwritten(azurite: Azurite, ref: BlobRef, data: bytes) -> BlobRef:
    """The blob with other bytes, and a reference that takes them for right as far as size and ETag go."""
    with BlobServiceClient(azurite.url, credential=azurite.account_key) as service:
        blob = service.get_blob_client(ref.container, ref.name)
        blob.upload_blob(data, overwrite=True)
        etag = blob.get_blob_properties().etag
    return ref.model_copy(update={"size": len(data), "etag": etag, "sha256": None})


def bytes_of(azurite: Azurite, ref: BlobRef) -> bytes:
    with BlobServiceClient(azurite.url, credential=azurite.account_key) as service:
        return service.get_blob_client(ref.container, ref.name).download_blob().readall()


def test_a_blob_that_was_altered_is_not_restored(
    store: SqlServerStore, database: Database, azurite: Azurite
) -> None:
    chain = Chain(store, database.name)
    ref = chain.take(Kind.FULL).facts.files[0]
    overwritten(azurite, ref, bytes_of(azurite, ref))
    with pytest.raises(IntegrityError):
        chain.restore(database.side())
    assert not store.inspect(database.side()).exists


def test_a_blob_that_is_gone_is_not_restored(
    store: SqlServerStore, database: Database, azurite: Azurite
) -> None:
    chain = Chain(store, database.name)
    ref = chain.take(Kind.FULL).facts.files[0]
    with BlobServiceClient(azurite.url, credential=azurite.account_key) as service:
        service.get_blob_client(ref.container, ref.name).delete_blob()
    with pytest.raises(IntegrityError, match="gone"):
        chain.restore(database.side())


@pytest.mark.parametrize("damage", ["cut in half", "a byte changed", "not a backup", "empty"])
def test_damage_that_only_the_server_can_see_is_found_by_it(
    store: SqlServerStore, database: Database, azurite: Azurite, damage: str
) -> None:
    chain = Chain(store, database.name)
    made = chain.take(Kind.FULL)
    good = bytes_of(azurite, made.facts.files[0])
    middle = len(good) // 2
    bad = {
        "cut in half": good[:middle],
        "a byte changed": good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :],
        "not a backup": b"hello" * 1000,
        "empty": b"",
    }[damage]
    ref = overwritten(azurite, made.facts.files[0], bad)
    step = chain.steps(database.side())[0].model_copy(update={"files": (ref,)})
    with pytest.raises(BackupSystemError) as failed:
        store.restore(step, run_id=new_ulid())
    assert failed.value.specific_code in ("corrupt_backup", "storage_failed")
    facts = made.facts.model_copy(update={"files": (ref,)})
    manifest = chain.manifest(0).model_copy(update={"facts": facts})
    with pytest.raises(BackupSystemError):
        store.verify(manifest)


def test_a_blob_that_holds_another_backup_is_found_out(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    other = chain.take(Kind.FULL)
    step = chain.steps(database.side())[0].model_copy(update={"files": other.facts.files})
    with pytest.raises(IntegrityError) as failed:
        store.restore(step, run_id=new_ulid())
    assert failed.value.specific_code == "wrong_backup_set"


def test_a_server_without_a_credential_for_the_container_says_so(
    server: TestServer, storage: Storage, database: Database
) -> None:
    if server.real:
        pytest.skip("the credentials of a real server are not ours to remove")
    from shared.stores.sqlserver.statements import Url, backup_database

    device = Url(storage.address("catalogue", f"{new_ulid()}.bak"))
    with pytest.raises(SqlServerError) as failed:
        database.admin.run(
            backup_database(database.name, [device], differential=False, name="x", description="y")
        )
    assert failed.value.specific_code == "storage_credential"


def test_a_sas_in_what_the_server_says_is_never_passed_on(
    server: TestServer, storage: Storage, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from shared.stores.sqlserver.connection import Server

    caplog.set_level(logging.DEBUG)
    with Server(server.connection).session() as session, pytest.raises(BackupSystemError) as failed:
        session.run(
            f"RAISERROR(N'Cannot open https://a.blob.core.windows.net/c/b?sv=1&sig={CANARY}, "
            f"SECRET = ''{CANARY}'', PWD={CANARY}', 16, 1);"
        )
    assert CANARY not in told_in(failed.value) + caplog.text + str(failed.value.as_dict())
