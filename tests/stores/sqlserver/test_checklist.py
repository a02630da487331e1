"""What the recovery checklist does to a restored database: checked, migrated, its users erased, recalled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping

import pytest

from shared.errors import ConflictError, OutcomeUnknownError, SqlServerError
from shared.octopus.migrations import Batch, read_script
from shared.stores.sqlserver import erasures
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Database, TestServer

HISTORY = """IF OBJECT_ID(N'[__EFMigrationsHistory]') IS NULL
BEGIN
    CREATE TABLE [__EFMigrationsHistory] (
        [MigrationId] nvarchar(150) NOT NULL,
        [ProductVersion] nvarchar(32) NOT NULL,
        CONSTRAINT [PK___EFMigrationsHistory] PRIMARY KEY ([MigrationId])
    );
END;
GO
"""


def migration(number: int, *statements: str) -> str:
    """One migration as EF Core's idempotent script writes it."""
    name = f"2026010100000{number}_M{number}"
    guard = f"IF NOT EXISTS (SELECT * FROM [__EFMigrationsHistory] WHERE [MigrationId] = N'{name}')"
    insert = (
        f"INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion]) VALUES (N'{name}', N'9.0.2');"
    )
    batches = [f"{guard}\nBEGIN\n    {one}\nEND;\nGO\n" for one in (*statements, insert)]
    return f"BEGIN TRANSACTION;\nGO\n{''.join(batches)}COMMIT;\nGO\n"


SCRIPT = (
    HISTORY
    + migration(1, "CREATE TABLE [Octopus_Notes] ([Id] int NOT NULL PRIMARY KEY, [Words] nvarchar(50) NULL);")
    + migration(2, "ALTER TABLE [Octopus_Notes] ADD [More] nvarchar(50) NULL;")
)


def batches(script: str) -> tuple[Batch, ...]:
    return read_script(script.encode()).batches


def quiet(percent: int) -> None:
    del percent


class TestScript:
    def test_a_script_is_executed_in_its_database_and_nowhere_else(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        told: list[int] = []
        done = disk_store.run_script(database.name, batches(SCRIPT), told.append)
        found = disk_store.migrations(database.name)
        assert found.head == "20260101000002_M2"
        assert "dbo.Octopus_Notes" in found.tables
        assert done.batches == len(batches(SCRIPT))
        assert told == sorted(told)
        assert told[-1] == 100
        assert (
            database.admin.rows("SELECT COUNT(*) FROM master.sys.tables WHERE name LIKE N'Octopus%';")[0][0]
            == 0
        )

    def test_executed_again_it_changes_nothing(self, disk_store: SqlServerStore, database: Database) -> None:
        disk_store.run_script(database.name, batches(SCRIPT), quiet)
        database.run("INSERT INTO [Octopus_Notes] ([Id], [More]) VALUES (1, N'kept');")
        disk_store.run_script(database.name, batches(SCRIPT), quiet)
        table = database.of("dbo", "Octopus_Notes")
        assert database.admin.rows(f"SELECT [More] FROM {table};")[0][0] == "kept"

    def test_it_stops_at_the_batch_that_fails_and_says_where(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        broken = (
            "CREATE TABLE [Octopus_A] ([Id] int);\nGO\nSELECT 1;\nGO\n\n"
            "-- now\nSELECT *\nFROM [Nowhere];\nGO\nCREATE TABLE [Octopus_B] ([Id] int);\nGO\n"
        )
        with pytest.raises(SqlServerError, match=r"Batch 3, lines 6 to 8 of the migration script") as caught:
            disk_store.run_script(database.name, batches(broken), quiet)
        error = caught.value
        assert (error.number, error.specific_code, error.retryable) == (208, "migration_failed", False)
        assert "Nowhere" in error.message
        assert "The 2 batch(es) before it were executed" in error.specific_meaning
        assert "None of the 1 batch(es) after it" in error.specific_meaning
        tables = disk_store.migrations(database.name).tables
        assert "dbo.Octopus_A" in tables
        assert "dbo.Octopus_B" not in tables

    def test_what_the_failed_transaction_had_done_is_taken_back(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        broken = HISTORY + migration(1, "CREATE TABLE [Octopus_Notes] ([Id] int);", "DROP TABLE [Nowhere];")
        with pytest.raises(SqlServerError, match="migration script, failed"):
            disk_store.run_script(database.name, batches(broken), quiet)
        found = disk_store.migrations(database.name)
        assert found.head is None
        assert "dbo.Octopus_Notes" not in found.tables

    def test_the_rest_of_the_failed_batch_is_not_executed(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        both = "INSERT INTO [Unrelated] VALUES (7), (7);\nINSERT INTO [Unrelated] VALUES (8);"
        with pytest.raises(SqlServerError, match="Batch 1, lines 1 to 2"):
            disk_store.run_script(database.name, batches(both), quiet)
        table = database.of("dbo", "Unrelated")
        assert database.admin.rows(f"SELECT COUNT(*) FROM {table};")[0][0] == 0

    def test_a_transaction_that_is_left_open_is_told_and_taken_back(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        opened = "BEGIN TRANSACTION;\nGO\nCREATE TABLE [Octopus_A] ([Id] int);\nGO\n"
        with pytest.raises(SqlServerError, match="left 1 transaction"):
            disk_store.run_script(database.name, batches(opened), quiet)
        assert "dbo.Octopus_A" not in disk_store.migrations(database.name).tables

    def test_a_run_that_was_taken_over_stops_before_the_next_batch(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        def lost(percent: int) -> None:
            if percent >= 50:
                raise ConflictError("taken over")

        two = "CREATE TABLE [Octopus_A] ([Id] int);\nGO\nCREATE TABLE [Octopus_B] ([Id] int);"
        with pytest.raises(ConflictError):
            disk_store.run_script(database.name, batches(two), lost)
        assert "dbo.Octopus_B" not in disk_store.migrations(database.name).tables

    def test_a_batch_is_repeated_as_often_as_the_script_says(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        table = database.of("dbo", "Octopus_Episodes")
        before = int(database.admin.rows(f"SELECT COUNT(*) FROM {table};")[0][0])
        insert = "INSERT INTO [Octopus_Episodes] ([EpisodeId], [Text]) VALUES (NEWID(), N'x');\nGO 3\n"
        done = disk_store.run_script(database.name, batches(insert), quiet)
        assert int(database.admin.rows(f"SELECT COUNT(*) FROM {table};")[0][0]) == before + 3
        assert (done.batches, done.statements_run) == (1, 3)


class TestCheck:
    @pytest.fixture
    def damaged(self, server: TestServer, database: Database) -> Iterator[int]:
        """Three errors, ordered from the stand-in."""
        if server.real:
            pytest.skip("a real database is not damaged")
        pattern = database.name.replace("_", "[_]")
        database.admin.run(f"EXEC standin_fault N'checkdb', N'{pattern}', 3;")
        yield 3
        database.admin.run(f"EXEC standin_fault N'checkdb', N'{pattern}', 0;")

    def test_a_sound_database_is_clean(self, disk_store: SqlServerStore, database: Database) -> None:
        told: list[int] = []
        found = disk_store.check(database.name, told.append)
        assert found.clean
        assert (found.allocation_errors, found.consistency_errors, found.messages) == (0, 0, ())
        assert told[-1] == 100

    def test_errors_are_counted_and_told(
        self, disk_store: SqlServerStore, database: Database, damaged: int
    ) -> None:
        found = disk_store.check(database.name)
        assert not found.clean
        assert (found.allocation_errors, found.consistency_errors) == (0, damaged)
        assert found.messages[0].startswith("8928: ")
        assert len(found.messages) == damaged

    def test_a_database_that_cannot_be_checked_is_no_damaged_one(self, disk_store: SqlServerStore) -> None:
        with pytest.raises(SqlServerError, match=r"2520|911"):
            disk_store.check("octopus_test_nowhere")

    def test_a_hostile_name_is_only_a_name(self, disk_store: SqlServerStore) -> None:
        with pytest.raises(SqlServerError, match=r"2520|911"):
            disk_store.check("octopus_test'); SELECT 1; --")


USERS = ("user-1", "user-2")


def add_users(database: Database) -> None:
    """Tables with a UserId of each type, and what hangs on their rows."""
    database.run(
        "CREATE TABLE [Octopus_Talks] ([TalkId] int NOT NULL PRIMARY KEY, [UserId] nvarchar(100) NOT NULL, "
        "[AnswerTo] int NULL, CONSTRAINT [FK_Talks_Talks] FOREIGN KEY ([AnswerTo]) "
        "REFERENCES [Octopus_Talks] ([TalkId]));"
    )
    database.run(
        "CREATE TABLE [Octopus_Words] ([WordId] int NOT NULL PRIMARY KEY, [TalkId] int NOT NULL, "
        "CONSTRAINT [FK_Words_Talks] FOREIGN KEY ([TalkId]) REFERENCES [Octopus_Talks] ([TalkId]) "
        "ON DELETE CASCADE);"
    )
    database.run(
        "CREATE TABLE [Marks] ([MarkId] int NOT NULL PRIMARY KEY, [WordId] int NOT NULL, "
        "CONSTRAINT [FK_Marks_Words] FOREIGN KEY ([WordId]) REFERENCES [Octopus_Words] ([WordId]));"
    )
    database.run(
        "CREATE TABLE [Octopus_Pins] ([PinId] int NOT NULL PRIMARY KEY, [TalkId] int NULL, "
        "CONSTRAINT [FK_Pins_Talks] FOREIGN KEY ([TalkId]) REFERENCES [Octopus_Talks] ([TalkId]) "
        "ON DELETE SET NULL);"
    )
    database.run(
        "CREATE TABLE [Octopus_Guids] ([Id] int NOT NULL PRIMARY KEY, [UserId] uniqueidentifier NOT NULL);"
    )
    database.run("CREATE TABLE [Octopus_Numbers] ([Id] int NOT NULL PRIMARY KEY, [UserId] int NOT NULL);")
    database.run("CREATE TABLE [Others] ([Id] int NOT NULL PRIMARY KEY, [UserId] nvarchar(100) NOT NULL);")
    rows = {
        "Octopus_Talks": "(1, N'user-1', NULL), (2, N'user-2', 1), (3, N'other', 1), (4, N'other', NULL)",
        "Octopus_Words": "(10, 1), (20, 2), (30, 3), (11, 1)",
        "Marks": "(100, 10), (300, 30)",
        "Octopus_Pins": "(5, 1), (6, 3)",
        "Octopus_Numbers": "(1, 42), (2, 7)",
        "Others": "(1, N'user-1')",
    }
    for table, values in rows.items():
        database.run(f"INSERT INTO [{table}] VALUES {values};")
    database.run(f"INSERT INTO [Octopus_Guids] VALUES (1, '{uuid.UUID(int=42)}'), (2, '{uuid.UUID(int=7)}');")


def column(database: Database, table: str, name: str) -> list[object]:
    rows = database.admin.rows(f"SELECT [{name}] FROM {database.of('dbo', table)} ORDER BY 1;")
    return [row[0] for row in rows]


class TestErasures:
    def test_rows_of_the_users_go_with_what_hangs_on_them_and_nothing_else_does(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        add_users(database)
        deleted = disk_store.erase(database.name, [*USERS, "42", str(uuid.UUID(int=42))], lambda _, __: None)
        assert column(database, "Octopus_Talks", "TalkId") == [3, 4]
        assert column(database, "Octopus_Words", "WordId") == [30]
        assert column(database, "Marks", "MarkId") == [300]
        assert column(database, "Octopus_Guids", "Id") == [2]
        assert column(database, "Octopus_Numbers", "Id") == [2]
        assert column(database, "Octopus_Pins", "PinId") == [5, 6], "a pin is not the user's own"
        assert column(database, "Others", "Id") == [1], "no table of Octopus"
        assert deleted == {
            "dbo.Marks": 1,
            "dbo.Octopus_Words": 3,
            "dbo.Octopus_Talks": 2,
            "dbo.Octopus_Guids": 1,
            "dbo.Octopus_Numbers": 1,
        }
        assert disk_store.rows_of(database.name, USERS) == 0

    def test_somebody_elses_answer_to_an_erased_row_stays_and_refers_to_nothing(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        add_users(database)
        disk_store.erase(database.name, USERS, lambda _, __: None)
        assert column(database, "Octopus_Talks", "AnswerTo") == [None, None]

    def test_erased_again_nothing_is_found(self, disk_store: SqlServerStore, database: Database) -> None:
        add_users(database)
        disk_store.erase(database.name, USERS, lambda _, __: None)
        assert not any(disk_store.erase(database.name, USERS, lambda _, __: None).values())

    def test_it_is_done_in_bounded_portions_and_told_after_each_group(
        self, disk_store: SqlServerStore, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(erasures, "ROWS_AT_ONCE", 2)
        monkeypatch.setattr(erasures, "USERS_AT_ONCE", 3)
        add_users(database)
        for number in range(100, 107):
            database.run(f"INSERT INTO [Octopus_Talks] VALUES ({number}, N'u{number % 4}', NULL);")
        told: list[tuple[int, int]] = []

        def on_rows(deleted: Mapping[str, int], users: int) -> None:
            told.append((deleted["dbo.Octopus_Talks"], users))

        total = disk_store.erase(database.name, ["u0", "u1", "u2", "u3"], on_rows)
        assert told == [(6, 3), (1, 4)]
        assert total["dbo.Octopus_Talks"] == 7

    @pytest.mark.parametrize("hostile", ["' OR 1=1 --", "user-1'); DELETE FROM [Others]; --", "%", ""])
    def test_an_id_is_only_ever_a_value(
        self, disk_store: SqlServerStore, database: Database, hostile: str
    ) -> None:
        add_users(database)
        disk_store.erase(database.name, [hostile], lambda _, __: None)
        assert column(database, "Octopus_Talks", "TalkId") == [1, 2, 3, 4]
        assert column(database, "Others", "Id") == [1]

    def test_an_error_of_the_server_names_no_user(
        self, disk_store: SqlServerStore, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_users(database)
        # A value that does not fit its column makes the server repeat it in its message.
        monkeypatch.setattr(erasures, "_value", lambda kind, user: user)
        with pytest.raises(SqlServerError) as caught:
            disk_store.erase(database.name, ["canary-user-5d"], lambda _, __: None)
        assert caught.value.specific_code == "erasure_failed"
        assert "canary" not in f"{caught.value} {caught.value.as_dict()}"
        assert caught.value.__suppress_context__

    def test_a_database_without_such_tables_has_nothing_to_erase(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        assert disk_store.erase(database.name, USERS, lambda _, __: None) == {}


class TestEpisodes:
    def test_what_octopus_hides_is_no_known_episode(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        agent, other = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
        database.run("DROP TABLE [Octopus_Episodes];")
        database.run(
            "CREATE TABLE [Octopus_Episodes] ([Id] int NOT NULL PRIMARY KEY, "
            "[AgentId] uniqueidentifier NOT NULL, [Summary] nvarchar(max) NULL, "
            "[IsDeleted] bit NOT NULL, [ExpiresAt] datetime2(7) NULL, "
            "[CreatedAt] datetime2(7) NOT NULL);"
        )
        rows = [
            (1, agent, "'the older'", 0, "NULL", "2026-01-01"),
            (2, agent, "'deleted'", 1, "NULL", "2026-01-02"),
            (3, agent, "'expired'", 0, "'2020-01-01'", "2026-01-03"),
            (4, agent, "NULL", 0, "NULL", "2026-01-04"),
            (5, agent, "'the newer'", 0, "'2100-01-01'", "2026-01-05"),
            (6, other, "'of another agent'", 0, "NULL", "2026-01-06"),
        ]
        for key, owner, words, gone, expires, at in rows:
            database.run(
                "INSERT INTO [Octopus_Episodes] "
                f"VALUES ({key}, '{owner}', {words}, {gone}, {expires}, '{at}');"
            )
        found = disk_store.known_episodes(database.name, agent)
        assert [(one.id, one.text, one.agent) for one in found] == [
            ("5", "the newer", agent),
            ("1", "the older", agent),
        ]
        assert [one.id for one in disk_store.known_episodes(database.name)] == ["6", "5", "1"]

    def test_a_table_of_another_shape_gives_none(
        self, disk_store: SqlServerStore, database: Database
    ) -> None:
        assert disk_store.known_episodes(database.name) == []  # the tests' table has no AgentId


def test_a_lost_connection_while_checking_is_no_clean_bill(
    server: TestServer, disk_store: SqlServerStore, database: Database
) -> None:
    if server.real:
        pytest.skip("only the stand-in is slowed down")
    killer: list[int] = []

    def kill(percent: int) -> None:
        if not killer:
            killer.append(percent)
            rows = database.admin.rows(
                "SELECT session_id FROM sys.dm_exec_requests WHERE command LIKE N'DBCC%';"
            )
            for row in rows:
                database.admin.run(f"KILL {int(row[0])};")

    pattern = database.name.replace("_", "[_]")
    database.admin.run(f"EXEC standin_fault N'slow', N'{pattern}', 0.4;")
    try:
        with pytest.raises(OutcomeUnknownError):
            disk_store.check(database.name, kill)
    finally:
        database.admin.run(f"EXEC standin_fault N'slow', N'{pattern}', 0;")
