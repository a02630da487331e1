"""Octopus' memory: agents and episodes in SQL Server, knowledge in Qdrant, written as the product does.

An agent's row is committed before its first vector is written; the other order would leave vectors that
refer to an agent nobody knows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx
import pyodbc

from local.octopus import embedding, rows
from local.octopus.knowledge import Source, cut
from local.octopus.rows import NAMES, TENANT, Agent, Episode, Message
from local.octopus.vectors import Hit, Point, Vectors, collection_of
from shared.clock import Clock

RECALLED_FROM = 500
"""Recall looks at this many of an agent's newest episodes."""


@dataclass(frozen=True)
class Indexed:
    """A document that can be searched: its id, how many chunks it became, and when."""

    document_id: uuid.UUID
    chunks: int
    at: datetime


@dataclass(frozen=True)
class Recalled:
    """An episode that resembles what was asked, with its messages, and how much (cosine)."""

    score: float
    episode: Episode


class Memory:
    """Both stores together.

    Args:
        sql: ODBC connection string with DRIVER and DATABASE; a secret.
        qdrant: address of the Qdrant server.
        clock: gives the times that rows and points carry.

    Methods raise ``pyodbc.Error`` and ``httpx.HTTPError`` when a store does not answer or refuses.
    """

    def __init__(self, sql: str, qdrant: str, clock: Clock) -> None:
        self._sql = sql
        self.vectors = Vectors(qdrant)
        self.clock = clock

    def close(self) -> None:
        """Let go of the connections."""
        self.vectors.close()

    def unit_of_work(self) -> AbstractContextManager[pyodbc.Connection]:
        """A connection to the database for one transaction."""
        return rows.unit_of_work(self._sql)

    def problems(self) -> list[str]:
        """Why Octopus cannot work now, in sentences; nothing when it can. Never raises for a store."""
        found = []
        try:
            with self.unit_of_work() as connection:
                found += rows.problems(connection)
        except pyodbc.Error as error:
            found.append(f"SQL Server: {reason(error)}")
        try:
            self.vectors.collections()
        except httpx.HTTPError as error:
            found.append(f"Qdrant: {reason(error)}")
        return found

    def add_agent(self, name: str, prompt: str, category: str, area: uuid.UUID | None = None) -> Agent:
        """Add an agent; its id follows from its name.

        Raises:
            pyodbc.IntegrityError: there is one of that name.
        """
        agent = Agent(uuid.uuid5(NAMES, f"agent/{name}"), name, prompt, category, self.clock.now())
        with self.unit_of_work() as connection:
            rows.add_agent(connection, agent, collection_of(agent.id), embedding.SIZE, area)
        return agent

    def agents(self) -> list[Agent]:
        """Every agent, by name."""
        with self.unit_of_work() as connection:
            return rows.agents(connection)

    def agent(self, agent_id: uuid.UUID) -> Agent | None:
        """One agent, or None."""
        with self.unit_of_work() as connection:
            return rows.agent(connection, agent_id)

    def index(self, agent: Agent, sources: Iterable[Source]) -> list[Indexed]:
        """Cut documents into chunks and write them as points; returns when they can be searched.

        A point's id follows from agent, document and chunk, so that the same document again changes nothing
        but ``indexedAt``. Chunks without words are left out: no search could find them.
        """
        at = self.clock.now()
        points: list[Point] = []
        indexed = []
        for source in sources:
            document = uuid.uuid5(agent.id, f"document/{source.name}")
            made = _points(agent, document, source, at)
            points += made
            indexed.append(Indexed(document, len(made), at))
        if points:
            self.vectors.upsert(collection_of(agent.id), points)
        return indexed

    def remember(self, agent: Agent, session: str, user: str, messages: Sequence[Message]) -> Episode:
        """Store an exchange as a new episode; its first words sum it up."""
        with self.unit_of_work() as connection:
            return self.remember_in(connection, agent, session, user, messages, self.clock.now())

    def remember_in(
        self,
        connection: pyodbc.Connection,
        agent: Agent,
        session: str,
        user: str,
        messages: Sequence[Message],
        at: datetime,
    ) -> Episode:
        """``remember`` within a transaction of the caller, at a time of the caller."""
        summary = messages[0].content[:200]
        episode = Episode(
            uuid.uuid5(agent.id, f"episode/{session}/{at.isoformat()}/{summary}"),
            *(agent.id, session, user, summary, at, tuple(messages)),
        )
        rows.add_episode(connection, episode)
        return episode

    def recall(self, agent: Agent, query: str, top: int) -> list[Recalled]:
        """The episodes that share most words with the query, best first, with their messages.

        Raises:
            embedding.NoWordsError: the query holds nothing to search for.
        """
        wanted = embedding.embed(query)
        with self.unit_of_work() as connection:
            known = rows.episodes(connection, agent.id, 0, RECALLED_FROM)
            scored = [(_resemblance(wanted, episode.summary), episode) for episode in known]
            best = sorted(scored, key=lambda pair: (-pair[0], pair[1].created_at, str(pair[1].id)))
            return [
                Recalled(score, replace(episode, messages=rows.messages(connection, episode.id)))
                for score, episode in best[:top]
                if score > 0
            ]

    def search(self, agent: Agent, query: str, top: int) -> list[Hit]:
        """The chunks of the agent's documents that share most words with the query, best first.

        Raises:
            embedding.NoWordsError: the query holds nothing to search for.
        """
        return self.vectors.search(collection_of(agent.id), embedding.embed(query), top)


def reason(error: pyodbc.Error | httpx.HTTPError) -> str:
    """A store's error in one line, without what a connection string holds."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered with HTTP {error.response.status_code}: {error.response.text[:200]}"
    if isinstance(error, httpx.HTTPError):
        return f"it does not answer ({type(error).__name__})."
    return str(error.args[-1] if error.args else type(error).__name__)[:300]


def iso(at: datetime) -> str:
    """A time as the product's JSON writes it: UTC with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _points(agent: Agent, document: uuid.UUID, source: Source, at: datetime) -> list[Point]:
    points = []
    for chunk in cut(source):
        try:
            vector = embedding.embed(chunk.content)
        except embedding.NoWordsError:
            continue
        payload = {
            "content": chunk.content,
            "source": chunk.source,
            "chunkIndex": chunk.index,
            "pageNumber": chunk.page,
            "category": chunk.category,
            "agentId": str(agent.id),
            "tenantId": str(TENANT),
            "indexedAt": iso(at),
        }
        points.append(Point(uuid.uuid5(document, str(chunk.index)), vector, payload))
    return points


def _resemblance(wanted: Sequence[float], text: str) -> float:
    try:
        return embedding.similarity(wanted, embedding.embed(text))
    except embedding.NoWordsError:
        return 0.0
