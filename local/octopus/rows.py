"""The product's rows in SQL Server: statements over a connection that the caller opens and commits.

Times go in and come out as aware UTC; the columns are ``datetime2`` without a zone, in UTC.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyodbc

from local.octopus.schema import MIGRATIONS, TABLES, applied_migrations

TENANT = uuid.UUID("0c70b5a1-0000-4000-8000-000000000001")
"""The one tenant of this small Octopus."""

NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "https://octopus-backup.invalid/local")
"""Namespace of every id that is made from a name, so that a second load gives the same ids."""

LOGIN_SECONDS = 5
STATEMENT_SECONDS = 30


@dataclass(frozen=True)
class Agent:
    """One agent; its category says which documents it is given."""

    id: uuid.UUID
    name: str
    prompt: str
    category: str
    created_at: datetime


@dataclass(frozen=True)
class Message:
    """One thing said: ``user`` or ``assistant``, and the words."""

    role: str
    content: str


@dataclass(frozen=True)
class Episode:
    """What is remembered of one exchange. Without messages where only the summary was asked for."""

    id: uuid.UUID
    agent_id: uuid.UUID
    session: str
    user: str
    summary: str
    created_at: datetime
    messages: tuple[Message, ...] = ()


@contextlib.contextmanager
def unit_of_work(connection_string: str) -> Iterator[pyodbc.Connection]:
    """A connection for one transaction: committed when the block ends, rolled back when it raises.

    Opened and closed each time, because a connection that lingers in a database stands in the way of a
    restore over it.

    Raises:
        pyodbc.Error: the server does not answer or refuses.
    """
    connection = pyodbc.connect(connection_string, autocommit=False, timeout=LOGIN_SECONDS)
    try:
        connection.timeout = STATEMENT_SECONDS
        yield connection
        connection.commit()
    finally:
        connection.close()  # takes back what was not committed


def problems(connection: pyodbc.Connection) -> list[str]:
    """What is missing in the database for the product to run; nothing when it can.

    Raises:
        pyodbc.Error: the server cannot be asked.
    """
    applied = applied_migrations(connection)
    if applied is None:
        return ["The table __EFMigrationsHistory is missing: nothing was migrated or restored yet."]
    missing = [migration.id for migration in MIGRATIONS if migration.id not in applied]
    found = {
        row[0]
        for row in connection.execute(
            "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME LIKE N'Octopus[_]%'"
        ).fetchall()
    }
    return [f"The migration {one} was not applied." for one in missing] + [
        f"The table {table} is missing." for table in TABLES if table not in found
    ]


def add_area(connection: pyodbc.Connection, name: str, description: str, at: datetime) -> uuid.UUID:
    """Insert an area and return its id."""
    area = uuid.uuid5(NAMES, f"area/{name}")
    connection.execute(
        "INSERT INTO [Octopus_Areas] ([AreaId], [TenantId], [Name], [Description], [CreatedAt]) "
        "VALUES (?, ?, ?, ?, ?)",
        (str(area), str(TENANT), name, description, _naive(at)),
    )
    return area


def add_procedure(connection: pyodbc.Connection, agent: Agent, name: str, steps: list[str]) -> None:
    """Insert an approved procedure of an agent."""
    connection.execute(
        "INSERT INTO [Octopus_Procedures] ([ProcedureId], [TenantId], [AgentId], [Name], [Steps], "
        "[SuccessRate], [IsApproved], [CreatedAt]) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(str(uuid.uuid5(agent.id, f"procedure/{name}")), str(TENANT), str(agent.id)),
            *(name, json.dumps(steps), 0.875, True, _naive(agent.created_at)),
        ),
    )


def add_function(connection: pyodbc.Connection, name: str, description: str, at: datetime) -> None:
    """Insert a function that agents may call."""
    connection.execute(
        "INSERT INTO [Octopus_AIFunctions] ([FunctionId], [TenantId], [Name], [Description], "
        "[ParametersSchema], [IsEnabled], [CreatedAt]) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(str(uuid.uuid5(NAMES, f"function/{name}")), str(TENANT), name, description),
            *(json.dumps({"type": "object", "properties": {"query": {"type": "string"}}}), True, _naive(at)),
        ),
    )


def add_agent(
    connection: pyodbc.Connection, agent: Agent, collection: str, dimensions: int, area: uuid.UUID | None
) -> None:
    """Insert an agent and the configuration of its memory.

    Raises:
        pyodbc.IntegrityError: an agent with this id is there already.
    """
    at = _naive(agent.created_at)
    connection.execute(
        "INSERT INTO [Octopus_Agents] ([AgentId], [TenantId], [AreaId], [Name], [SystemPrompt], "
        "[PluginRefs], [Config], [Version], [Status], [CreatedAt], [UpdatedAt]) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(str(agent.id), str(TENANT), str(area) if area else None, agent.name, agent.prompt),
            *('["recall","search"]', json.dumps({"category": agent.category}), 1, "Active", at, None),
        ),
    )
    connection.execute(
        "INSERT INTO [Octopus_AgentMemoryConfig] ([AgentId], [CollectionName], [EmbeddingModel], "
        "[EmbeddingDimensions], [TopK], [RetentionDays], [UpdatedAt]) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (str(agent.id), collection, "feature-hashing", dimensions, 5, None, at),
    )


_AGENT = "SELECT [AgentId], [Name], [SystemPrompt], [Config], [CreatedAt] FROM [Octopus_Agents] "


def agents(connection: pyodbc.Connection) -> list[Agent]:
    """Every agent, by name."""
    return [_agent(row) for row in connection.execute(_AGENT + "ORDER BY [Name]").fetchall()]


def agent(connection: pyodbc.Connection, agent_id: uuid.UUID) -> Agent | None:
    """One agent, or None."""
    row = connection.execute(_AGENT + "WHERE [AgentId] = ?", (str(agent_id),)).fetchone()
    return _agent(row) if row else None


def add_episode(connection: pyodbc.Connection, episode: Episode) -> None:
    """Insert an episode with its messages; the conversation that it belongs to is begun or goes on."""
    conversation = str(uuid.uuid5(episode.agent_id, f"conversation/{episode.session}"))
    at = _naive(episode.created_at)
    continued = connection.execute(
        "UPDATE [Octopus_Conversations] SET [TurnCount] = [TurnCount] + 1, [LastMessageAt] = ? "
        "WHERE [ConversationId] = ?",
        (at, conversation),
    ).rowcount
    if not continued:
        connection.execute(
            "INSERT INTO [Octopus_Conversations] ([ConversationId], [TenantId], [AgentId], [SessionId], "
            "[UserId], [TurnCount], [StartedAt], [LastMessageAt]) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(conversation, str(TENANT), str(episode.agent_id), episode.session, episode.user),
                *(1, at, at),
            ),
        )
    connection.execute(
        "INSERT INTO [Octopus_Episodes] ([EpisodeId], [TenantId], [AgentId], [ConversationId], [UserId], "
        "[Summary], [Importance], [CreatedAt], [ExpiresAt], [IsDeleted], [DeletedAt]) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(str(episode.id), str(TENANT), str(episode.agent_id), conversation, episode.user),
            *(episode.summary, 0.5, at, None, False, None),
        ),
    )
    for ordinal, message in enumerate(episode.messages):
        connection.execute(
            "INSERT INTO [Octopus_EpisodeMessages] ([MessageId], [EpisodeId], [Ordinal], [Role], "
            "[Content], [TokenCount], [CreatedAt]) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(str(uuid.uuid5(episode.id, str(ordinal))), str(episode.id), ordinal, message.role),
                *(message.content, len(message.content.split()), at),
            ),
        )


_EPISODE = (
    "SELECT e.[EpisodeId], e.[AgentId], c.[SessionId], e.[UserId], e.[Summary], e.[CreatedAt] "
    "FROM [Octopus_Episodes] AS e "
    "INNER JOIN [Octopus_Conversations] AS c ON c.[ConversationId] = e.[ConversationId] "
    "WHERE e.[IsDeleted] = 0 "
)


def episodes(
    connection: pyodbc.Connection, agent_id: uuid.UUID | None, skip: int, take: int
) -> list[Episode]:
    """Episodes without their messages, newest first, of one agent or of all."""
    where, given = ("AND e.[AgentId] = ? ", (str(agent_id),)) if agent_id else ("", ())
    rows = connection.execute(
        f"{_EPISODE}{where}ORDER BY e.[CreatedAt] DESC, e.[EpisodeId] "
        f"OFFSET {int(skip)} ROWS FETCH NEXT {int(take)} ROWS ONLY",
        given,
    ).fetchall()
    return [
        Episode(uuid.UUID(str(row[0])), uuid.UUID(str(row[1])), row[2], row[3], row[4], _aware(row[5]))
        for row in rows
    ]


def count_episodes(connection: pyodbc.Connection, agent_id: uuid.UUID | None) -> int:
    """How many episodes there are, of one agent or of all."""
    where, given = (" AND [AgentId] = ?", (str(agent_id),)) if agent_id else ("", ())
    counted = connection.execute(
        f"SELECT COUNT(*) FROM [Octopus_Episodes] WHERE [IsDeleted] = 0{where}",  # noqa: S608  # two constants
        given,
    ).fetchval()
    return int(counted)


def messages(connection: pyodbc.Connection, episode_id: uuid.UUID) -> tuple[Message, ...]:
    """What was said in an episode, in order."""
    rows = connection.execute(
        "SELECT [Role], [Content] FROM [Octopus_EpisodeMessages] WHERE [EpisodeId] = ? ORDER BY [Ordinal]",
        (str(episode_id),),
    ).fetchall()
    return tuple(Message(row[0], row[1]) for row in rows)


def _agent(row: pyodbc.Row) -> Agent:
    category = json.loads(row[3] or "{}").get("category", "")
    return Agent(uuid.UUID(str(row[0])), row[1], row[2], category, _aware(row[4]))


def _naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)
