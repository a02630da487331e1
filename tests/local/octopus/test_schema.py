from __future__ import annotations

import pyodbc
import pytest

from local.octopus import rows, schema
from local.octopus.memory import Memory
from local.octopus.rows import unit_of_work
from shared.clock import SystemClock


def test_migrating_makes_every_table_and_names_every_migration(empty_sql: str) -> None:
    with unit_of_work(empty_sql) as connection:
        assert rows.problems(connection)
        assert schema.migrate(connection) == [migration.id for migration in schema.MIGRATIONS]
        assert rows.problems(connection) == []
        versions = connection.execute("SELECT [ProductVersion] FROM [__EFMigrationsHistory]").fetchall()
    assert [row[0] for row in versions] == [schema.PRODUCT_VERSION] * 3


def test_migrating_again_changes_nothing(empty_sql: str) -> None:
    with unit_of_work(empty_sql) as connection:
        schema.migrate(connection)
        assert schema.migrate(connection) == []


def test_a_migration_that_was_not_applied_is_named(empty_sql: str) -> None:
    with unit_of_work(empty_sql) as connection:
        schema.migrate(connection)
        connection.execute("DELETE FROM [__EFMigrationsHistory] WHERE [MigrationId] LIKE N'202511%'")
        assert rows.problems(connection) == ["The migration 20251102141500_EpisodicMemory was not applied."]


def test_a_migration_that_fails_leaves_nothing_of_itself(empty_sql: str) -> None:
    with unit_of_work(empty_sql) as connection:
        connection.execute("CREATE TABLE [Octopus_Conversations] ([Id] int NOT NULL)")
        connection.commit()
        with pytest.raises(pyodbc.Error, match="2714"):
            schema.migrate(connection)
        assert schema.applied_migrations(connection) == ["20250301080000_Initial"]
        assert "The table Octopus_AgentMemoryConfig is missing." in rows.problems(connection)


def test_what_is_wrong_with_the_stores_is_told_and_not_raised(empty_sql: str) -> None:
    gone = empty_sql.replace("DATABASE={Empty_", "DATABASE={Gone_")
    assert gone != empty_sql
    memory = Memory(gone, "http://127.0.0.1:1", SystemClock())
    sql, qdrant = memory.problems()
    memory.close()
    assert "4060" in sql
    assert qdrant == "Qdrant: it does not answer (ConnectError)."
