"""Manifests: committed once, found again, listed without being read, and never trusted blindly."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.catalogue.backups import HINT
from shared.errors import AlreadyExistsError, IntegrityError, NotFoundError
from shared.model.backups import Kind, Manifest
from shared.model.hints import SqlHint, hint_of
from tests.stores.blob.support import Proxy, SetClock
from tests.stores.catalogue.samples import START, snapshot_set, sql_backup, ulid_at, verification

HOSTILE = [
    "a'b\"c]d[e",
    "../../catalogue",
    "a/b\\c",
    "..",
    "~2E",
    "%41 & + # ? ;",
    "é日本\U0001f600",
    "x" * 255,
    " leading and trailing ",
    "full",
]


def name_of(manifest: Manifest) -> str:
    return paths.manifest(manifest.store, manifest.scope, manifest.kind, manifest.id)


def test_a_committed_backup_is_found_by_its_id_alone(catalogue: Catalogue) -> None:
    made = [sql_backup(low=1), sql_backup("sql-2", "Other", kind=Kind.FULL, low=2), snapshot_set(low=3)]
    for manifest in made:
        catalogue.backups.commit(manifest)
    assert [catalogue.backups.get(manifest.id) for manifest in made] == made


@pytest.mark.parametrize("backup_id", [ulid_at(START, 9), "x", "", "../x"])
def test_an_unknown_backup_is_not_found(catalogue: Catalogue, backup_id: str) -> None:
    with pytest.raises(NotFoundError, match="backup"):
        catalogue.backups.get(backup_id)
    catalogue.backups.commit(sql_backup())
    with pytest.raises(NotFoundError, match="backup"):
        catalogue.backups.get(backup_id)


def test_a_commit_is_repeated_by_the_same_attempt_and_refused_to_another(catalogue: Catalogue) -> None:
    manifest = sql_backup()
    catalogue.backups.commit(manifest)
    catalogue.backups.commit(manifest)
    with pytest.raises(AlreadyExistsError):
        catalogue.backups.commit(manifest.model_copy(update={"attempt": "a2"}))
    assert catalogue.backups.get(manifest.id) == manifest


def test_a_commit_whose_reply_was_lost_is_a_commit(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    proxy.lose_reply(lambda request: request.writes_document)
    Catalogue(troubled, clock).backups.commit(sql_backup())
    assert sum(request.writes_document for request in proxy.seen) == 2, "the proxy made no trouble"
    assert catalogue.backups.get(sql_backup().id) == sql_backup()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_servers_and_databases_are_found_again(catalogue: Catalogue, name: str) -> None:
    mine, other = sql_backup(name, name, low=1), sql_backup(name, name + "x", low=2)
    catalogue.backups.commit(mine)
    catalogue.backups.commit(other)
    assert catalogue.backups.sql_hints(name, name) == [hint_of(mine)]
    assert catalogue.backups.get(mine.id) == mine
    assert catalogue.backups.get(other.id) == other


def test_hints_of_a_database_come_oldest_first_whatever_their_kind(catalogue: Catalogue) -> None:
    made = [
        sql_backup(kind=kind, at=START + timedelta(minutes=minutes))
        for kind, minutes in ((Kind.LOG, 30), (Kind.FULL, 0), (Kind.DIFFERENTIAL, 20), (Kind.LOG, 10))
    ]
    for manifest in [*made, sql_backup(database="OctopusDB2"), snapshot_set()]:
        catalogue.backups.commit(manifest)
    hints = catalogue.backups.sql_hints("sql-1", "OctopusDB")
    assert hints == sorted((hint_of(manifest) for manifest in made), key=lambda hint: hint.started_at)
    everywhere = catalogue.backups.all_sql_hints()
    assert {hint.database for hint in everywhere} == {"OctopusDB", "OctopusDB2"}
    assert [hint for hint in everywhere if hint.database == "OctopusDB"] == hints


def test_hints_of_snapshot_sets_come_oldest_first(catalogue: Catalogue) -> None:
    made = [snapshot_set(at=START + timedelta(days=days)) for days in (40, 0, 7)]
    for manifest in [*made, sql_backup()]:
        catalogue.backups.commit(manifest)
    assert [hint.started_at.day for hint in catalogue.backups.set_hints()] == [6, 13, 15]


def test_a_hint_fits_into_metadata_however_long_the_names_are(catalogue: Catalogue, storage: Storage) -> None:
    manifest = sql_backup("\U0001f600" * 64, "\u65e5" * 128)  # sysname has 128 UTF-16 units
    catalogue.backups.commit(manifest)
    (entry,) = documents.entries(storage, "catalogue", "backups/")
    assert entry.metadata[HINT].isascii()
    assert len(entry.metadata[HINT]) < 8 * 1024 / 2
    assert entry.metadata["attempt"] == "a1"


def test_manifests_are_listed_five_thousand_to_a_request_and_none_is_read(
    storage: Storage, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    container = storage.container("catalogue")

    def write(number: int) -> None:
        manifest = sql_backup(at=START + timedelta(minutes=15 * number), low=number)
        hint = json.dumps(hint_of(manifest).as_json(), separators=(",", ":"))
        container.upload_blob(name_of(manifest), b"{}", metadata={HINT: hint, "attempt": "a1"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    hints = Catalogue(troubled, clock).backups.sql_hints("sql-1", "OctopusDB")
    assert [hint.first_lsn - 10**24 for hint in hints] == list(range(200))
    (only,) = proxy.seen
    assert "comp=list" in only.query
    assert "maxresults=5000" in only.query


@pytest.mark.parametrize("metadata", [{}, {HINT: "{"}, {HINT: "null"}, {HINT: '{"id":"x"}'}])
def test_a_manifest_whose_hint_was_lost_is_read_instead(
    catalogue: Catalogue, storage: Storage, metadata: dict[str, str]
) -> None:
    manifest = sql_backup()
    catalogue.backups.commit(manifest)
    storage.client("catalogue", name_of(manifest)).set_blob_metadata(metadata)
    assert catalogue.backups.sql_hints("sql-1", "OctopusDB") == [hint_of(manifest)]


def test_one_damaged_manifest_does_not_hide_the_others_and_is_named_in_the_log(
    catalogue: Catalogue, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = sql_backup(low=1), sql_backup(low=2)
    catalogue.backups.commit(good)
    storage.client("catalogue", name_of(bad)).upload_blob(b"no manifest")
    with caplog.at_level(logging.WARNING, "shared"):
        assert catalogue.backups.sql_hints("sql-1", "OctopusDB") == [hint_of(good)]
    assert bad.id in caplog.text


def test_a_chosen_manifest_is_read_and_agrees_with_its_hint(catalogue: Catalogue) -> None:
    for manifest in (sql_backup(), snapshot_set()):
        catalogue.backups.commit(manifest)
        assert catalogue.backups.chosen(hint_of(manifest)) == manifest


def test_a_hint_that_lies_is_found_out_before_anything_is_planned_on_it(catalogue: Catalogue) -> None:
    manifest = sql_backup()
    catalogue.backups.commit(manifest)
    lie = hint_of(manifest).model_copy(update={"last_lsn": 10**24 + 99})
    with pytest.raises(IntegrityError, match="something else"):
        catalogue.backups.chosen(lie)


def test_a_hint_of_an_older_version_agrees_in_what_it_says(catalogue: Catalogue) -> None:
    manifest = sql_backup()
    catalogue.backups.commit(manifest)
    told = hint_of(manifest).as_json()
    assert told.pop("utc_offset_minutes") is not None
    assert "flaw" not in told
    older = SqlHint.model_validate(told)
    assert older.utc_offset_minutes is None
    assert catalogue.backups.chosen(older) == manifest
    with pytest.raises(IntegrityError, match="something else"):
        catalogue.backups.chosen(older.flawed("it is gone"))


def test_a_chosen_manifest_that_was_removed_is_not_found(catalogue: Catalogue) -> None:
    with pytest.raises(NotFoundError):
        catalogue.backups.chosen(hint_of(sql_backup()))


def changed(**changes: Any) -> bytes:
    return json.dumps({**sql_backup().as_json(), **changes}).encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<xml/>", "not a JSON document"),
        (changed()[:-20], "not a JSON document"),
        (b"{}", r"not a valid Manifest \(\d+ problem\(s\)\): id: Field required"),
        (changed(schema=2), "has the schema 2, which this version does not understand"),
        (changed(started_at="yesterday"), "started_at"),
        (changed(facts={"store": "qdrant"}), "facts"),
    ],
    ids=["foreign", "truncated", "empty", "newer", "altered", "other store"],
)
def test_a_manifest_that_cannot_be_understood_is_an_integrity_error(
    catalogue: Catalogue, storage: Storage, text: bytes, said: str
) -> None:
    storage.client("catalogue", name_of(sql_backup())).upload_blob(text)
    with pytest.raises(IntegrityError, match=said):
        catalogue.backups.get(sql_backup().id)


def test_what_a_newer_version_added_does_not_stop_an_older_reader(
    catalogue: Catalogue, storage: Storage
) -> None:
    storage.client("catalogue", name_of(sql_backup())).upload_blob(changed(invented_later={"a": 1}))
    assert catalogue.backups.get(sql_backup().id) == sql_backup()


def test_verifications_are_kept_beside_the_manifest_oldest_first(catalogue: Catalogue) -> None:
    looks = [
        verification("b1", "r2", passed=False, at=START + timedelta(days=1)),
        verification("b1", "r1", at=START + timedelta(days=2)),
    ]
    for look in reversed(looks):
        catalogue.backups.add_verification(look)
    catalogue.backups.add_verification(verification("b2"))
    assert catalogue.backups.verifications("b1") == looks
    assert catalogue.backups.verifications("b3") == []


def test_a_run_that_is_repeated_keeps_its_first_verification(catalogue: Catalogue) -> None:
    catalogue.backups.add_verification(verification("b1", passed=False))
    catalogue.backups.add_verification(verification("b1", passed=True))
    assert [look.passed for look in catalogue.backups.verifications("b1")] == [False]
