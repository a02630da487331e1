"""The demo's beginning: three agents, their documents, and what they have been told so far."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from local.octopus import knowledge, rows
from local.octopus.knowledge import Theme
from local.octopus.memory import Memory
from local.octopus.rows import Agent, Message

EPISODES_PER_AGENT = 12
DAYS_BACK = 30

AREA = "Python reference"
FUNCTIONS = (
    ("recall", "Finds what was said before."),
    ("search", "Finds the parts of the agent's documents that share words with a question."),
)


@dataclass(frozen=True)
class Proof:
    """What an agent must still know after a restore.

    Attributes:
        agent: the agent's name.
        told: what it was told once, in an episode.
        question: asks for that.
        answer: is part of what it must recall.
    """

    agent: str
    told: str
    question: str
    answer: str


RECALL_PROOF = Proof(
    "Statements",
    "Please remember: our release train is called Kraken, and Margarethe signs it off on Thursdays.",
    "Who signs off the Kraken release train?",
    "Margarethe",
)
"""An old episode that a conversation must recall."""

SEARCH_PROOF = ("Statements", "What does the nonlocal statement rebind?", "nonlocal")
"""An agent, a question, and the source of the chunk that a semantic search must put first."""


@dataclass(frozen=True)
class Loaded:
    """What the loading wrote."""

    agents: tuple[Agent, ...]
    documents: int
    chunks: int
    episodes: int


def load(memory: Memory, rng: random.Random, tell: Callable[[str], None] = lambda _: None) -> Loaded:
    """Fill empty stores: an area, functions, and every theme's agent with documents and old episodes.

    Args:
        memory: both stores; the tables are there and empty.
        rng: chooses what the old episodes talk about.
        tell: called with a sentence for a person after each agent.

    Raises:
        pyodbc.IntegrityError: something of this was loaded before.
    """
    with memory.unit_of_work() as connection:
        area = rows.add_area(
            connection, AREA, "The language reference that every Python carries.", memory.clock.now()
        )
        for name, description in FUNCTIONS:
            rows.add_function(connection, name, description, memory.clock.now())
    agents, documents, chunks, episodes = [], 0, 0, 0
    for theme in knowledge.THEMES:
        agent = add_agent(memory, theme, area)
        indexed = memory.index(agent, theme.sources())
        written = _old_episodes(memory, agent, theme, rng)
        pieces = sum(one.chunks for one in indexed)
        tell(f"{agent.name}: {len(indexed)} documents in {pieces} chunks, {written} episodes.")
        agents.append(agent)
        documents, chunks, episodes = documents + len(indexed), chunks + pieces, episodes + written
    return Loaded(tuple(agents), documents, chunks, episodes)


def add_agent(memory: Memory, theme: Theme, area: uuid.UUID | None = None) -> Agent:
    """Add the agent of a theme, with one procedure; it has no documents yet."""
    prompt = f"You answer questions about {theme.name.lower()} in Python from your documents."
    agent = memory.add_agent(theme.name, prompt, theme.category, area)
    with memory.unit_of_work() as connection:
        rows.add_procedure(connection, agent, "Answer a question", ["recall", "search", "answer", "remember"])
    return agent


def exchange(theme: Theme, rng: random.Random) -> tuple[Message, Message]:
    """A question about one of the theme's sections, and an answer taken from it."""
    chunk = rng.choice(knowledge.cut(rng.choice(theme.sources())))
    question = f"What should I know about {chunk.source} (part {chunk.index + 1})?"
    return Message("user", question), Message("assistant", chunk.content[:300])


def _old_episodes(memory: Memory, agent: Agent, theme: Theme, rng: random.Random) -> int:
    now = memory.clock.now()
    said = [exchange(theme, rng) for _ in range(EPISODES_PER_AGENT)]
    if agent.name == RECALL_PROOF.agent:
        said.insert(0, (Message("user", RECALL_PROOF.told), Message("assistant", "I will remember that.")))
    with memory.unit_of_work() as connection:
        for number, messages in enumerate(said):
            at = now - timedelta(days=DAYS_BACK) + timedelta(hours=number * 36)
            memory.remember_in(connection, agent, f"session-{number // 4}", "user-1", messages, at)
    return len(said)
