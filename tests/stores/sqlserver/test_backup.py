"""Taking backups: they are proven, complete in their facts, and safe to repeat."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.blob import download
from shared.blob.storage import Storage
from shared.model.backups import Kind
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database

pytestmark = pytest.mark.real

CLOCKS_DIFFER = timedelta(seconds=5)


def test_a_full_backup_tells_everything_that_a_manifest_needs(
    store: SqlServerStore, database: Database, medium: str, storage: Storage
) -> None:
    before = datetime.now(UTC)
    made = Chain(store, database.name).take(Kind.FULL)
    facts = made.facts
    assert (facts.database, facts.medium, facts.recovery_model) == (database.name, medium, "FULL")
    assert facts.server == store.server().name
    assert 0 < facts.first_lsn <= facts.checkpoint_lsn <= facts.last_lsn
    assert facts.has_backup_checksums
    assert not facts.is_copy_only
    assert not facts.is_damaged
    assert {file.type for file in facts.data_files} == {"data", "log"}
    assert before - CLOCKS_DIFFER <= made.started_at <= made.finished_at <= datetime.now(UTC) + CLOCKS_DIFFER
    assert [ref.container for ref in facts.files] == ["data"]
    assert facts.files[0].name.startswith("sqlserver/test/full/")
    assert facts.files[0].size == sum(len(piece) for piece in download.read(storage, facts.files[0]))


def test_bytes_that_pass_through_us_are_hashed(
    disk_store: SqlServerStore, database: Database, storage: Storage
) -> None:
    ref = Chain(disk_store, database.name).take(Kind.FULL).facts.files[0]
    digest = hashlib.sha256(b"".join(download.read(storage, ref))).hexdigest()
    assert ref.sha256 == digest


def test_the_servers_file_is_removed_once_it_is_in_blob_storage(
    disk_store: SqlServerStore, database: Database, backup_folder: Path
) -> None:
    before = set(backup_folder.iterdir())
    Chain(disk_store, database.name).take(Kind.FULL)
    assert set(backup_folder.iterdir()) == before


def test_backups_build_on_one_another(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    full = chain.take(Kind.FULL).facts
    database.add_episode("between full and log")
    log = chain.take(Kind.LOG).facts
    database.add_episode("between log and differential")
    differential = chain.take(Kind.DIFFERENTIAL).facts
    next_log = chain.take(Kind.LOG).facts
    assert differential.differential_base_guid == full.backup_set_uuid
    assert differential.differential_base_lsn == full.checkpoint_lsn
    assert log.database_backup_lsn == full.checkpoint_lsn
    assert log.first_lsn <= full.last_lsn < log.last_lsn
    assert next_log.first_lsn == log.last_lsn
    assert len({one.family_guid for one in (full, log, differential, next_log)}) == 1
    assert full.last_recovery_fork_guid == next_log.first_recovery_fork_guid


def test_repeating_an_attempt_adopts_what_was_done(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    request = chain.request(Kind.FULL)
    first = store.back_up(request)
    again = store.back_up(request)
    assert again.facts.backup_set_uuid == first.facts.backup_set_uuid
    assert again.facts.files == first.facts.files
    assert (again.started_at, again.finished_at) == (first.started_at, first.finished_at)
    rows = database.admin.rows(
        "SELECT COUNT(*) FROM msdb.dbo.backupset WHERE database_name = ?;", database.name
    )
    assert rows[0][0] == 1


def test_a_new_attempt_is_a_new_backup(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    assert chain.take(Kind.FULL).facts.backup_set_uuid != chain.take(Kind.FULL).facts.backup_set_uuid


def test_progress_never_goes_back_and_ends_at_100(store: SqlServerStore, database: Database) -> None:
    told: list[int] = []
    store.back_up(Chain(store, database.name).request(Kind.FULL), told.append)
    assert told == sorted(told)
    assert told[-1] == 100


@pytest.mark.parametrize(
    "suffix",
    [" with space", "'; DROP TABLE x; --", "]]x[", "/../..", "a\\b", "ünï\N{PILE OF POO}", '"q"', "%41?#"],
)
def test_a_hostile_name_is_backed_up_and_restored_like_any_other(
    store: SqlServerStore, database: Database, suffix: str
) -> None:
    from tests.stores.sqlserver.support import make_database

    hostile = make_database(database.admin, database.name + suffix)
    chain = Chain(store, hostile.name)
    chain.take(Kind.FULL)
    chain.restore(hostile.side())
    assert hostile.texts(hostile.side()) == ["the first"]


def test_inspect_tells_what_is_there(disk_store: SqlServerStore, database: Database) -> None:
    Chain(disk_store, database.name).take(Kind.FULL)
    state = disk_store.inspect(database.name)
    assert (state.state_desc, state.recovery_model, state.user_access) == ("ONLINE", "FULL", "MULTI_USER")
    assert {file.type for file in state.files} == {"data", "log"}
    assert state.family_guid
    absent = disk_store.inspect(database.name + "_nowhere")
    assert (absent.exists, absent.state_desc) == (False, "absent")
