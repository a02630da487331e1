"""Marks: one instant in the logs of several databases, with the counts of that instant."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import SystemClock, new_ulid
from shared.errors import InvalidRequestError, SqlServerError
from shared.model.backups import Kind, Quality
from shared.model.plans import Stop
from shared.stores.sqlserver.connection import Server
from shared.stores.sqlserver.marks import Marking, MarkRequest, set_mark
from shared.stores.sqlserver.statements import quote_name
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database, TestServer, make_database, mark_name

pytestmark = pytest.mark.real


def test_a_mark_is_in_the_log_history_and_in_the_marker_table(
    disk_store: SqlServerStore, database: Database
) -> None:
    Chain(disk_store, database.name).take(Kind.FULL)
    mark, point = mark_name(), new_ulid()
    before = datetime.now(UTC)
    (facts,) = disk_store.set_mark([database.name], mark, point, "it's a 'test'", '{"set": "x"}')
    assert (facts.database, facts.mark_name) == (database.name, mark)
    assert facts.mark_lsn > 0
    assert abs(facts.at - before) < timedelta(seconds=10)
    row = disk_store.marker(database.name)
    assert row is not None
    assert (row.mark_name, row.point_id, row.vector_side) == (mark, point, '{"set": "x"}')
    assert abs(row.marked_at - before) < timedelta(seconds=10)


def test_what_the_database_held_is_told_with_the_mark(disk_store: SqlServerStore, database: Database) -> None:
    agent = database.add_agent()
    (facts,) = disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
    assert set(facts.tables) == {"dbo.Octopus_Agents", "dbo.Octopus_Episodes"}  # nothing but Octopus' own
    assert facts.tables["dbo.Octopus_Agents"].value == 2
    assert agent in facts.agents
    assert len(facts.agents) == 2
    assert facts.migration is None


def test_the_rows_of_one_table_are_counted_within_a_time(
    disk_store: SqlServerStore, database: Database
) -> None:
    database.add_agent()
    assert disk_store.rows(database.name, "dbo.Octopus_Agents", seconds=5) == 2
    assert disk_store.rows(database.name, "dbo.Octopus_Nothing", seconds=5) is None


def test_without_snapshot_isolation_counts_are_approximate_even_when_nothing_moved(
    disk_store: SqlServerStore, database: Database
) -> None:
    (facts,) = disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
    count = facts.tables["dbo.Octopus_Episodes"]
    assert count.quality is Quality.APPROXIMATE
    assert (count.low, count.value, count.high) == (1, 1, 1)


def test_with_snapshot_isolation_the_counts_are_exactly_what_the_mark_brings_back(
    server: TestServer, disk_store: SqlServerStore, database: Database
) -> None:
    database.admin.run(f"ALTER DATABASE {quote_name(database.name)} SET ALLOW_SNAPSHOT_ISOLATION ON;")
    chain = Chain(disk_store, database.name)
    chain.take(Kind.FULL)
    stop = threading.Event()

    def write() -> None:
        with Server(server.connection).session() as session:
            writer = Database(session, database.name)
            while not stop.is_set():
                writer.add_episode("in a hurry")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        mark = mark_name()
        (facts,) = disk_store.set_mark([database.name], mark, new_ulid(), "d", "v")
    finally:
        stop.set()
        thread.join()
    chain.take(Kind.LOG)
    chain.restore(database.side(), Stop(mark=mark))
    told = facts.tables["dbo.Octopus_Episodes"]
    assert told.quality is Quality.EXACT
    assert disk_store.counts(database.side())["dbo.Octopus_Episodes"].value == told.value


def test_a_transaction_that_does_not_end_is_not_waited_for_and_hinders_only_one_try(
    server: TestServer, disk_store: SqlServerStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.sqlserver.marks._DRAIN_MILLISECONDS", 300)
    monkeypatch.setattr("shared.stores.sqlserver.holdings.COUNT_WAIT_MILLISECONDS", 300)
    database.admin.run(f"ALTER DATABASE {quote_name(database.name)} SET ALLOW_SNAPSHOT_ISOLATION ON;")
    with Server(server.connection).session() as other:
        other.run("BEGIN TRANSACTION;")
        Database(other, database.name).add_agent()
        with pytest.raises(SqlServerError) as failed:
            disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
        assert (failed.value.specific_code, failed.value.retryable) == ("lock_timeout", True)
        other.run("ROLLBACK TRANSACTION;")
    (facts,) = disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
    assert facts.tables["dbo.Octopus_Agents"].quality is Quality.EXACT


def test_one_mark_is_in_the_logs_of_all_databases(store: SqlServerStore, database: Database) -> None:
    second = make_database(database.admin, f"{database.name}_second")
    chains = [Chain(store, one.name) for one in (database, second)]
    for chain in chains:
        chain.take(Kind.FULL)
    mark = mark_name()
    facts = store.set_mark([database.name, second.name], mark, new_ulid(), "d", "v")
    assert [one.database for one in facts] == [database.name, second.name]
    for one, chain in zip((database, second), chains, strict=True):
        one.add_episode("after the mark")
        chain.take(Kind.LOG)
        chain.restore(one.side(), Stop(mark=mark))
        assert one.texts(one.side()) == ["the first"]


def test_repeating_a_mark_sets_no_second_one(disk_store: SqlServerStore, database: Database) -> None:
    mark = mark_name()
    first = disk_store.set_mark([database.name], mark, new_ulid(), "d", "v")
    again = disk_store.set_mark([database.name], mark, new_ulid(), "d", "v")
    assert [(one.mark_lsn, one.at) for one in again] == [(one.mark_lsn, one.at) for one in first]
    rows = database.admin.rows(f"SELECT MarkName FROM {database.of('octopus_backup', 'RecoveryPoint')};")
    assert [row[0] for row in rows] == [mark]


def test_a_missing_marker_table_is_named_with_what_to_do(
    disk_store: SqlServerStore, database: Database
) -> None:
    database.run("DROP TABLE octopus_backup.RecoveryPoint;")
    with pytest.raises(SqlServerError) as failed:
        disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
    assert failed.value.specific_code == "marker_schema_missing"
    assert "infra/sqlserver-setup.sql" in failed.value.hint
    assert disk_store.marker(database.name) is None


def test_all_databases_are_marked_or_none(disk_store: SqlServerStore, database: Database) -> None:
    second = make_database(database.admin, f"{database.name}_second")
    second.run("DROP TABLE octopus_backup.RecoveryPoint;")
    mark = mark_name()
    with pytest.raises(SqlServerError):
        disk_store.set_mark([database.name, second.name], mark, new_ulid(), "d", "v")
    assert disk_store.marker(database.name) is None
    assert database.admin.rows("SELECT lsn FROM msdb.dbo.logmarkhistory WHERE mark_name = ?;", mark) == []


def test_a_database_that_keeps_no_log_cannot_be_marked(
    disk_store: SqlServerStore, database: Database
) -> None:
    simple = make_database(database.admin, f"{database.name}_simple", simple=True)
    with pytest.raises(SqlServerError) as failed:
        disk_store.set_mark([simple.name], mark_name(), new_ulid(), "d", "v")
    assert failed.value.specific_code == "recovery_model_simple"


def test_a_missing_database_cannot_be_marked(disk_store: SqlServerStore, database: Database) -> None:
    with pytest.raises(SqlServerError) as failed:
        disk_store.set_mark([database.name + "_nowhere"], mark_name(), new_ulid(), "d", "v")
    assert failed.value.specific_code == "database_missing"


def test_a_mark_needs_a_name_of_ours_and_a_database(disk_store: SqlServerStore, database: Database) -> None:
    with pytest.raises(InvalidRequestError):
        disk_store.set_mark([database.name], "before the upgrade", new_ulid(), "d", "v")
    with pytest.raises(InvalidRequestError):
        disk_store.set_mark([], mark_name(), new_ulid(), "d", "v")


def test_agents_are_read_by_whatever_their_key_is_called(
    disk_store: SqlServerStore, database: Database
) -> None:
    database.run("DROP TABLE dbo.Octopus_Agents;")
    database.run("CREATE TABLE dbo.Octopus_Agents (Id uniqueidentifier NOT NULL PRIMARY KEY, X int NULL);")
    agent = "7F3A8B2C-4D5E-6F7A-8B9C-0D1E2F3A4B5C"
    database.run(f"INSERT INTO dbo.Octopus_Agents (Id) VALUES ('{agent}');")
    assert disk_store.agents(database.name) == [agent.lower()]


def test_the_head_of_the_migrations_is_the_newest(disk_store: SqlServerStore, database: Database) -> None:
    database.run(
        "CREATE TABLE dbo.__EFMigrationsHistory "
        "(MigrationId nvarchar(150) NOT NULL PRIMARY KEY, ProductVersion nvarchar(32) NOT NULL);"
    )
    for migration in ("20250101000000_Initial", "20250301000000_Areas"):
        database.run(f"INSERT INTO dbo.__EFMigrationsHistory VALUES ('{migration}', '9.0.0');")
    found = disk_store.migrations(database.name)
    assert found.head == "20250301000000_Areas"
    assert found.tables == ("dbo.Octopus_Agents", "dbo.Octopus_Episodes")


def mark_all(store: SqlServerStore, *databases: str) -> Marking:
    return store.mark_where_allowed(databases, mark_name(), new_ulid(), "d", "v")


def test_where_it_is_allowed_the_mark_is_set_and_elsewhere_it_is_told_why_not(
    disk_store: SqlServerStore, database: Database
) -> None:
    second = make_database(database.admin, f"{database.name}_second")
    second.run("DROP TABLE octopus_backup.RecoveryPoint;")
    done = mark_all(disk_store, second.name, database.name)
    assert [one.database for one in done.marked] == [database.name]
    assert [(one.database, one.code) for one in done.refused] == [(second.name, "marker_schema_missing")]
    assert "infra/sqlserver-setup.sql" in done.refused[0].hint
    row = disk_store.marker(database.name)
    assert row is not None
    assert row.mark_name == done.marked[0].mark_name


@pytest.mark.parametrize("exactly", [False, True])
def test_a_missing_marker_table_is_told_by_both_ways_of_counting(
    disk_store: SqlServerStore, database: Database, exactly: bool
) -> None:
    if exactly:
        database.admin.run(f"ALTER DATABASE {quote_name(database.name)} SET ALLOW_SNAPSHOT_ISOLATION ON;")
    database.run("DROP TABLE octopus_backup.RecoveryPoint;")
    done = mark_all(disk_store, database.name)
    assert done.marked == ()
    assert [one.code for one in done.refused] == ["marker_schema_missing"]


def test_a_marker_table_of_another_shape_is_as_good_as_none(
    disk_store: SqlServerStore, database: Database
) -> None:
    database.run("DROP TABLE octopus_backup.RecoveryPoint;")
    database.run("CREATE TABLE octopus_backup.RecoveryPoint (MarkName nvarchar(32) NOT NULL PRIMARY KEY);")
    assert [one.code for one in mark_all(disk_store, database.name).refused] == ["marker_schema_missing"]


def test_what_needs_a_person_is_no_refusal(disk_store: SqlServerStore, database: Database) -> None:
    simple = make_database(database.admin, f"{database.name}_simple", simple=True)
    for name, code in ((simple.name, "recovery_model_simple"), (f"{database.name}_no", "database_missing")):
        with pytest.raises(SqlServerError) as failed:
            mark_all(disk_store, database.name, name)
        assert failed.value.specific_code == code
    assert disk_store.marker(database.name) is None


def test_counts_need_no_locks_where_the_settings_say_so(server: TestServer, database: Database) -> None:
    database.admin.run(f"ALTER DATABASE {quote_name(database.name)} SET ALLOW_SNAPSHOT_ISOLATION ON;")
    request = MarkRequest([database.name], mark_name(), new_ulid(), "d", "v", exact=False)
    (facts,) = set_mark(Server(server.connection), SystemClock(), request)
    count = facts.tables["dbo.Octopus_Episodes"]
    assert (count.quality, count.low, count.value, count.high) == (Quality.APPROXIMATE, 1, 1, 1)


def test_the_offset_of_the_servers_clock_comes_with_the_mark_and_with_a_look(
    disk_store: SqlServerStore, database: Database
) -> None:
    (facts,) = disk_store.set_mark([database.name], mark_name(), new_ulid(), "d", "v")
    (seen,) = disk_store.look([database.name])
    for found in (facts, seen):
        assert abs(found.clock_offset_seconds) < 300, "a zone that is not accounted for is hours away"
        assert 0 < found.clock_uncertainty_seconds < 10
    assert seen.server == facts.server
    assert {table: count.value for table, count in seen.tables.items()} == {
        table: count.value for table, count in facts.tables.items()
    }
    assert {count.quality for count in seen.tables.values()} == {Quality.APPROXIMATE}
    assert (seen.agents, seen.migration) == (facts.agents, facts.migration)
    assert disk_store.look([]) == []
