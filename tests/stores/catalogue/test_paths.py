"""Names from outside become harmless paths, each its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.catalogue import paths
from shared.errors import NotFoundError
from shared.model.backups import Kind, Store
from shared.model.runs import RunKind
from tests.stores.catalogue.samples import START, ulid_at

repeatable = settings(derandomize=True, deadline=None)
ID = ulid_at(START)


@repeatable
@given(st.text(st.characters(), max_size=300))
def test_any_name_is_one_harmless_component_of_bounded_length(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_~-]{1,48}", paths.encoded(name))


@repeatable
@given(*[st.text(st.sampled_from("aA~%./\\é😀 2E-"), max_size=80)] * 2)
def test_different_names_are_different_components(one: str, other: str) -> None:
    assert (paths.encoded(one) == paths.encoded(other)) == (one == other)


def test_ordinary_names_stay_readable() -> None:
    assert paths.encoded("OctopusDB") == "OctopusDB"
    assert paths.encoded("sql-1.example.net") == "sql-1~2Eexample~2Enet"
    assert paths.encoded("..") == "~2E~2E"
    assert paths.encoded("é" * 255) != paths.encoded("é" * 254)


def test_the_names_that_are_written_are_those_that_are_documented() -> None:
    scope = paths.sql_scope("sql-1", "OctopusDB")
    assert paths.data_prefix(Store.SQLSERVER, scope, Kind.LOG, ID, "a1") == (
        f"sqlserver/sql-1/OctopusDB/log/2026/10/06/{ID}/a1"
    )
    assert paths.manifest(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, ID) == (
        f"backups/qdrant/qdrant/snapshot_set/2026/10/06/{ID}.json"
    )
    assert paths.recovery_point(ID) == f"recovery-points/{ID}.json"
    assert paths.verification(ID, "r1") == f"verifications/{ID}/r1.json"
    assert paths.claim("sql_log", START) == "claims/sql_log/20261006T010000Z.json"
    assert paths.lock("sql-1/OctopusDB/log") == "locks/sql-1/OctopusDB/log.json"
    assert paths.report("r1", 2) == "reports/r1/2.json"
    assert paths.key("backup/é") == "keys/backup~2F~C3~A9.json"
    assert paths.plan("p1") == "plans/p1.json"
    assert paths.run(RunKind.RESTORE, "r1") == "runs/restore/r1.json"
    assert paths.run_part("r1", "7/é") == "parts/r1/7~2F~C3~A9.json"


def test_the_longest_name_of_a_file_fits_into_a_device_name_of_sql_server() -> None:
    scope = paths.sql_scope("s" * 128, "😀" * 64)
    name = paths.data_prefix(Store.SQLSERVER, scope, Kind.DIFFERENTIAL, ID, "a10") + "/10.bak"
    assert len(f"https://{'a' * 24}.blob.core.windows.net/landing/{name}") <= 259


@pytest.mark.parametrize(
    "backup_id", ["", "x", "../../state", ID.lower(), ID + "A", "7" + "Z" * 25, "é" * 26]
)
def test_what_is_no_ulid_is_no_backup(backup_id: str) -> None:
    with pytest.raises(NotFoundError, match="not the id of a backup"):
        paths.manifest(Store.SQLSERVER, "s/d", Kind.LOG, backup_id)
