"""The product's tables, made the way EF Core's migrations make them.

``__EFMigrationsHistory`` names what has been applied; each migration and its row there are one transaction.
The statements are plain T-SQL, one a batch, for a real SQL Server as well. The server of this package never
applies them by itself: a start that made empty tables would hide that a database is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyodbc

PRODUCT_VERSION = "9.0.2"
"""What EF Core writes beside each migration: its own version."""

_HISTORY = """
CREATE TABLE [__EFMigrationsHistory] (
    [MigrationId] nvarchar(150) NOT NULL,
    [ProductVersion] nvarchar(32) NOT NULL,
    CONSTRAINT [PK___EFMigrationsHistory] PRIMARY KEY ([MigrationId])
)"""


@dataclass(frozen=True)
class Migration:
    """One migration: its id and its statements, in order."""

    id: str
    statements: tuple[str, ...]


_AREAS = """
CREATE TABLE [Octopus_Areas] (
    [AreaId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [Name] nvarchar(200) NOT NULL,
    [Description] nvarchar(1000) NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_Areas] PRIMARY KEY ([AreaId])
)"""
_AGENTS = """
CREATE TABLE [Octopus_Agents] (
    [AgentId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [AreaId] uniqueidentifier NULL,
    [Name] nvarchar(200) NOT NULL,
    [SystemPrompt] nvarchar(max) NOT NULL,
    [PluginRefs] nvarchar(max) NULL,
    [Config] nvarchar(max) NULL,
    [Version] int NOT NULL,
    [Status] nvarchar(50) NOT NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    [UpdatedAt] datetime2(7) NULL,
    CONSTRAINT [PK_Octopus_Agents] PRIMARY KEY ([AgentId]),
    CONSTRAINT [FK_Octopus_Agents_Octopus_Areas_AreaId] FOREIGN KEY ([AreaId])
        REFERENCES [Octopus_Areas] ([AreaId])
)"""
_PROCEDURES = """
CREATE TABLE [Octopus_Procedures] (
    [ProcedureId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [AgentId] uniqueidentifier NOT NULL,
    [Name] nvarchar(200) NOT NULL,
    [Steps] nvarchar(max) NOT NULL,
    [SuccessRate] float NOT NULL,
    [IsApproved] bit NOT NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_Procedures] PRIMARY KEY ([ProcedureId]),
    CONSTRAINT [FK_Octopus_Procedures_Octopus_Agents_AgentId] FOREIGN KEY ([AgentId])
        REFERENCES [Octopus_Agents] ([AgentId])
)"""
_FUNCTIONS = """
CREATE TABLE [Octopus_AIFunctions] (
    [FunctionId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [Name] nvarchar(200) NOT NULL,
    [Description] nvarchar(max) NOT NULL,
    [ParametersSchema] nvarchar(max) NULL,
    [IsEnabled] bit NOT NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_AIFunctions] PRIMARY KEY ([FunctionId])
)"""
_MEMORY_CONFIG = """
CREATE TABLE [Octopus_AgentMemoryConfig] (
    [AgentId] uniqueidentifier NOT NULL,
    [CollectionName] nvarchar(200) NOT NULL,
    [EmbeddingModel] nvarchar(100) NOT NULL,
    [EmbeddingDimensions] int NOT NULL,
    [TopK] int NOT NULL,
    [RetentionDays] int NULL,
    [UpdatedAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_AgentMemoryConfig] PRIMARY KEY ([AgentId]),
    CONSTRAINT [FK_Octopus_AgentMemoryConfig_Octopus_Agents_AgentId] FOREIGN KEY ([AgentId])
        REFERENCES [Octopus_Agents] ([AgentId])
)"""
_CONVERSATIONS = """
CREATE TABLE [Octopus_Conversations] (
    [ConversationId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [AgentId] uniqueidentifier NOT NULL,
    [SessionId] nvarchar(100) NOT NULL,
    [UserId] nvarchar(100) NOT NULL,
    [TurnCount] int NOT NULL,
    [StartedAt] datetime2(7) NOT NULL,
    [LastMessageAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_Conversations] PRIMARY KEY ([ConversationId]),
    CONSTRAINT [FK_Octopus_Conversations_Octopus_Agents_AgentId] FOREIGN KEY ([AgentId])
        REFERENCES [Octopus_Agents] ([AgentId])
)"""
_EPISODES = """
CREATE TABLE [Octopus_Episodes] (
    [EpisodeId] uniqueidentifier NOT NULL,
    [TenantId] uniqueidentifier NOT NULL,
    [AgentId] uniqueidentifier NOT NULL,
    [ConversationId] uniqueidentifier NOT NULL,
    [UserId] nvarchar(100) NOT NULL,
    [Summary] nvarchar(max) NOT NULL,
    [Importance] float NOT NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    [ExpiresAt] datetime2(7) NULL,
    [IsDeleted] bit NOT NULL,
    [DeletedAt] datetime2(7) NULL,
    CONSTRAINT [PK_Octopus_Episodes] PRIMARY KEY ([EpisodeId]),
    CONSTRAINT [FK_Octopus_Episodes_Octopus_Agents_AgentId] FOREIGN KEY ([AgentId])
        REFERENCES [Octopus_Agents] ([AgentId])
)"""
_MESSAGES = """
CREATE TABLE [Octopus_EpisodeMessages] (
    [MessageId] uniqueidentifier NOT NULL,
    [EpisodeId] uniqueidentifier NOT NULL,
    [Ordinal] int NOT NULL,
    [Role] nvarchar(20) NOT NULL,
    [Content] nvarchar(max) NOT NULL,
    [TokenCount] int NOT NULL,
    [CreatedAt] datetime2(7) NOT NULL,
    CONSTRAINT [PK_Octopus_EpisodeMessages] PRIMARY KEY ([MessageId]),
    CONSTRAINT [FK_Octopus_EpisodeMessages_Octopus_Episodes_EpisodeId] FOREIGN KEY ([EpisodeId])
        REFERENCES [Octopus_Episodes] ([EpisodeId]) ON DELETE CASCADE
)"""
_EPISODES_BY_AGENT = """
CREATE INDEX [IX_Octopus_Episodes_AgentId_CreatedAt] ON [Octopus_Episodes] ([AgentId], [CreatedAt])"""
_MESSAGES_BY_EPISODE = """
CREATE INDEX [IX_Octopus_EpisodeMessages_EpisodeId] ON [Octopus_EpisodeMessages] ([EpisodeId])"""

MIGRATIONS = (
    Migration("20250301080000_Initial", (_AREAS, _AGENTS, _PROCEDURES, _FUNCTIONS)),
    Migration("20250614093000_AgentMemory", (_MEMORY_CONFIG, _CONVERSATIONS)),
    Migration(
        "20251102141500_EpisodicMemory", (_EPISODES, _MESSAGES, _EPISODES_BY_AGENT, _MESSAGES_BY_EPISODE)
    ),
)
"""Additive only, as the product's are. The last one is the head."""

TABLES = (
    *("Octopus_Areas", "Octopus_Agents", "Octopus_Procedures", "Octopus_AIFunctions"),
    *("Octopus_AgentMemoryConfig", "Octopus_Conversations", "Octopus_Episodes", "Octopus_EpisodeMessages"),
)
"""Every table of the product, those that others refer to first."""


def migrate(connection: pyodbc.Connection) -> list[str]:
    """Apply what is missing; the database must exist.

    Args:
        connection: to the product's database, with ``autocommit`` off.

    Returns:
        The ids of the migrations that were applied now; none when all had been.

    Raises:
        pyodbc.Error: the server refused a statement; that migration was rolled back.
    """
    applied = applied_migrations(connection)
    if applied is None:
        connection.execute(_HISTORY)
        connection.commit()
    missing = [migration for migration in MIGRATIONS if migration.id not in (applied or [])]
    for migration in missing:
        try:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion]) VALUES (?, ?)",
                (migration.id, PRODUCT_VERSION),
            )
        except pyodbc.Error:
            connection.rollback()
            raise
        connection.commit()
    return [migration.id for migration in missing]


def applied_migrations(connection: pyodbc.Connection) -> list[str] | None:
    """The ids of the applied migrations in order; None when there is no history table.

    Raises:
        pyodbc.Error: the server cannot be asked.
    """
    known = connection.execute(
        "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = N'__EFMigrationsHistory'"
    ).fetchval()
    if not known:
        return None
    rows = connection.execute("SELECT [MigrationId] FROM [__EFMigrationsHistory] ORDER BY [MigrationId]")
    return [row[0] for row in rows.fetchall()]
