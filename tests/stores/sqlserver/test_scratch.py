"""The copies of drills: read, and dropped only when it is sure whose they are."""

from __future__ import annotations

import pytest

from shared.clock import new_ulid
from shared.errors import RefusedError
from shared.model.backups import Kind
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database

pytestmark = pytest.mark.real


def backed_up(store: SqlServerStore, database: Database) -> Chain:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("after the full")
    chain.take(Kind.LOG)
    return chain


def copy_of(database: Database) -> str:
    return f"drill_20260301t043000_{database.name}"


def test_a_copy_is_read_and_dropped_in_whatever_state_it_is(
    store: SqlServerStore, database: Database
) -> None:
    for number in range(5):
        database.add_episode(f"episode {number}")
    chain, copy, run_id = backed_up(store, database), copy_of(database), new_ulid()

    chain.restore(copy, run_id=run_id)
    assert store.read_tables(copy) == {"dbo.Octopus_Agents": 1, "dbo.Octopus_Episodes": 3}
    assert store.drop_copy(copy, run_id) == "dropped"
    assert store.drop_copy(copy, run_id) == "absent"

    store.restore(chain.steps(copy)[0], run_id=run_id)
    assert store.databases()[copy] == "RESTORING"
    assert store.drop_copy(copy, run_id) == "dropped"
    assert copy not in store.databases()


def test_a_copy_is_dropped_though_somebody_looks_at_it(store: SqlServerStore, database: Database) -> None:
    chain, copy, run_id = backed_up(store, database), copy_of(database), new_ulid()
    chain.restore(copy, run_id=run_id)
    Database(database.admin, copy).run("SELECT 1;")
    assert store.drop_copy(copy, run_id) == "dropped"


def test_a_database_of_that_name_that_another_run_made_stays(
    store: SqlServerStore, database: Database
) -> None:
    chain, copy, theirs = backed_up(store, database), copy_of(database), new_ulid()
    chain.restore(copy, run_id=theirs)
    try:
        assert store.drop_copy(copy, new_ulid()) == "not ours"
        assert store.databases()[copy] == "ONLINE"
    finally:
        assert store.drop_copy(copy, theirs) == "dropped"


@pytest.mark.parametrize(
    "name", ["", "master", "drill_", "rp_20260301t043000_x", "quarantine_20260301t043000_x"]
)
def test_what_has_no_name_of_a_drills_copy_is_never_dropped(
    store: SqlServerStore, database: Database, name: str
) -> None:
    for target in (name, database.name):
        with pytest.raises(RefusedError) as refused:
            store.drop_copy(target, new_ulid())
        assert refused.value.specific_code == "not_a_copy"
    assert store.databases()[database.name] == "ONLINE"
