"""What is done to Octopus' tables in a restore: migrations applied again, users erased, keys introspected."""

from __future__ import annotations

import pytest

from tests.local.sqlserver.support import Client, batches

# What `dotnet ef migrations script --idempotent` writes for three additive migrations (EF Core 9): every
# statement asks the history first, and what refers to a column made in the same batch goes through EXEC.
IDEMPOTENT = """
IF OBJECT_ID(N'[__EFMigrationsHistory]') IS NULL
BEGIN
    CREATE TABLE [__EFMigrationsHistory] (
        [MigrationId] nvarchar(150) NOT NULL,
        [ProductVersion] nvarchar(32) NOT NULL,
        CONSTRAINT [PK___EFMigrationsHistory] PRIMARY KEY ([MigrationId])
    );
END;
GO

BEGIN TRANSACTION;
IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250101000000_Begin'
)
BEGIN
    CREATE TABLE [Octopus_Agents] (
        [AgentId] uniqueidentifier NOT NULL,
        [Name] nvarchar(200) NOT NULL,
        CONSTRAINT [PK_Octopus_Agents] PRIMARY KEY ([AgentId])
    );
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250101000000_Begin'
)
BEGIN
    CREATE TABLE [Octopus_Notes] (
        [NoteId] int NOT NULL IDENTITY,
        [AgentId] uniqueidentifier NOT NULL,
        [UserId] nvarchar(100) NOT NULL,
        CONSTRAINT [PK_Octopus_Notes] PRIMARY KEY ([NoteId]),
        CONSTRAINT [FK_Octopus_Notes_Octopus_Agents_AgentId] FOREIGN KEY ([AgentId])
            REFERENCES [Octopus_Agents] ([AgentId]) ON DELETE CASCADE
    );
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250101000000_Begin'
)
BEGIN
    INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion])
    VALUES (N'20250101000000_Begin', N'9.0.2');
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250201000000_Pinned'
)
BEGIN
    ALTER TABLE [Octopus_Notes] ADD [IsPinned] bit NOT NULL DEFAULT CAST(0 AS bit);
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250201000000_Pinned'
)
BEGIN
    EXEC(N'CREATE INDEX [IX_Octopus_Notes_Pinned] ON [Octopus_Notes] ([AgentId]) WHERE [IsPinned] = 1');
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250201000000_Pinned'
)
BEGIN
    INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion])
    VALUES (N'20250201000000_Pinned', N'9.0.2');
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250301000000_Seed'
)
BEGIN
    IF EXISTS (SELECT * FROM [sys].[identity_columns]
        WHERE [name] IN (N'NoteId', N'UserId') AND [object_id] = OBJECT_ID(N'[Octopus_Notes]'))
        SET IDENTITY_INSERT [Octopus_Notes] ON;
    EXEC(N'INSERT INTO [Octopus_Agents] ([AgentId], [Name])
    VALUES (''7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c'', N''Guide'');
    INSERT INTO [Octopus_Notes] ([NoteId], [AgentId], [UserId], [IsPinned])
    VALUES (7, ''7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c'', N''seed'', CAST(1 AS bit))');
    IF EXISTS (SELECT * FROM [sys].[identity_columns]
        WHERE [name] IN (N'NoteId', N'UserId') AND [object_id] = OBJECT_ID(N'[Octopus_Notes]'))
        SET IDENTITY_INSERT [Octopus_Notes] OFF;
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250301000000_Seed'
)
BEGIN
    CREATE UNIQUE INDEX [IX_Octopus_Agents_Name] ON [Octopus_Agents] ([Name]);
END;

IF NOT EXISTS (
    SELECT * FROM [__EFMigrationsHistory]
    WHERE [MigrationId] = N'20250301000000_Seed'
)
BEGIN
    INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion])
    VALUES (N'20250301000000_Seed', N'9.0.2');
END;

COMMIT;
GO
"""
GUIDE = "7f3a8b2c-4d5e-6f7a-8b9c-0d1e2f3a4b5c"


def migrate(client: Client) -> None:
    for batch in batches(IDEMPOTENT):
        client.run(batch)


@pytest.fixture
def octopus(items: Client) -> Client:
    migrate(items)
    return items


def test_an_idempotent_script_runs_twice(octopus: Client) -> None:
    migrate(octopus)
    history = "SELECT MigrationId FROM __EFMigrationsHistory ORDER BY MigrationId"
    assert [row[0][15:] for row in octopus.rows(history)] == ["Begin", "Pinned", "Seed"]
    assert octopus.rows("SELECT NoteId, UserId, IsPinned FROM Octopus_Notes") == [(7, "seed", True)]
    assert octopus.value("SELECT @@TRANCOUNT") == 0
    octopus.run("INSERT INTO Octopus_Notes (AgentId, UserId) VALUES (?, N'next')", GUIDE)
    assert octopus.value("SELECT MAX(NoteId) FROM Octopus_Notes") == 8


def test_one_table_at_a_time_takes_identities(octopus: Client) -> None:
    octopus.run("CREATE TABLE Other (Id int IDENTITY)")
    octopus.run("SET IDENTITY_INSERT Octopus_Notes ON")
    assert octopus.error("SET IDENTITY_INSERT Other ON") == 8107
    assert octopus.error("SET IDENTITY_INSERT Octopus_Agents ON") == 8106
    octopus.run("SET IDENTITY_INSERT Octopus_Notes OFF")


def test_children_are_found_by_their_foreign_keys(octopus: Client) -> None:
    found = octopus.rows(
        """SELECT child.name, childs.name, parent.name, parents.name, k.delete_referential_action_desc
           FROM sys.foreign_keys AS k
           JOIN sys.foreign_key_columns AS c ON c.constraint_object_id = k.object_id
           JOIN sys.tables AS child ON child.object_id = c.parent_object_id
           JOIN sys.columns AS childs
             ON childs.object_id = c.parent_object_id AND childs.column_id = c.parent_column_id
           JOIN sys.tables AS parent ON parent.object_id = c.referenced_object_id
           JOIN sys.columns AS parents
             ON parents.object_id = c.referenced_object_id AND parents.column_id = c.referenced_column_id"""
    )
    assert found == [("Octopus_Notes", "AgentId", "Octopus_Agents", "AgentId", "CASCADE")]
    assert octopus.value("SELECT OBJECT_NAME(parent_object_id) FROM sys.foreign_keys") == "Octopus_Notes"
    keys = octopus.rows(
        """SELECT o.name FROM sys.objects AS o JOIN sys.foreign_keys AS k ON k.object_id = o.object_id"""
    )
    assert keys == [("FK_Octopus_Notes_Octopus_Agents_AgentId",)]
    users = octopus.rows(
        """SELECT TABLE_NAME FROM INFORMATION_SCHEMA.COLUMNS
           WHERE COLUMN_NAME = N'UserId' AND TABLE_NAME LIKE N'Octopus[_]%'"""
    )
    assert users == [("Octopus_Notes",)]


def test_rows_are_deleted_in_portions(octopus: Client) -> None:
    for user in "aabbc":
        octopus.run("INSERT INTO Octopus_Notes (AgentId, UserId) VALUES (?, ?)", GUIDE, user)
    sql = "DELETE TOP (2) FROM Octopus_Notes WHERE UserId IN (?, ?)"
    counts: list[int] = []
    while not counts or counts[-1]:
        counts.append(octopus.cursor.execute(sql, "a", "b").rowcount)
    assert counts == [2, 2, 0]
    left = octopus.rows("SELECT UserId FROM Octopus_Notes ORDER BY UserId")
    assert left == [("c",), ("seed",)]
    assert octopus.error("DELETE TOP (-1) FROM Octopus_Notes") == 1060
    assert octopus.error("DELETE TOP (5) PERCENT FROM Octopus_Notes") == 40517


def test_children_are_deleted_by_a_join_with_their_parents(octopus: Client) -> None:
    octopus.run(
        """DELETE n FROM Octopus_Notes AS n JOIN Octopus_Agents AS a ON a.AgentId = n.AgentId
           WHERE a.Name IN (?)""",
        "Guide",
    )
    assert octopus.value("SELECT COUNT(*) FROM Octopus_Notes") == 0
    octopus.run("INSERT INTO Octopus_Notes (AgentId, UserId) VALUES (?, N'x')", GUIDE)
    octopus.run(
        """DELETE FROM Octopus_Notes
           WHERE AgentId IN (SELECT AgentId FROM Octopus_Agents WHERE Name IN (?, ?))""",
        "Guide",
        "Nobody",
    )
    assert octopus.value("SELECT COUNT(*) FROM Octopus_Notes") == 0


def test_a_foreign_key_cascades_or_forbids(octopus: Client) -> None:
    octopus.run(
        "CREATE TABLE Strict (Id int PRIMARY KEY, AgentId uniqueidentifier REFERENCES Octopus_Agents)"
    )
    octopus.run("INSERT INTO Strict VALUES (1, ?)", GUIDE)
    assert octopus.error("DELETE FROM Octopus_Agents WHERE AgentId = ?", GUIDE) == 547
    assert octopus.value("SELECT COUNT(*) FROM Octopus_Notes") == 1
    octopus.run("DELETE FROM Strict; DELETE FROM Octopus_Agents")
    assert octopus.value("SELECT COUNT(*) FROM Octopus_Notes") == 0
