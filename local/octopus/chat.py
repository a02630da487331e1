"""One turn of a conversation, as the events that the product streams.

There is no language model here: the answer is put together from the episode that resembles the message most
and the best chunk of the agent's documents, and says so.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pyodbc

from local.octopus.memory import Memory, Recalled, iso, reason
from local.octopus.rows import Agent, Message
from local.octopus.vectors import Hit

REMEMBERED_FROM = 0.2
"""A recalled episode is spoken of from this cosine on; below it shares hardly a word with the message."""

CANDIDATES = 20
"""Episodes among which the one to speak of is looked for."""

QUOTED = 400
"""Characters that an answer takes from one episode or one chunk."""

USER = "demo-user"


@dataclass(frozen=True)
class Event:
    """One event of the stream: its name and its data."""

    name: str
    data: dict[str, object]

    def encoded(self) -> bytes:
        """The event as ``text/event-stream`` writes it."""
        return f"event: {self.name}\ndata: {json.dumps(self.data, ensure_ascii=False)}\n\n".encode()


def turn(memory: Memory, agent: Agent, session: str, message: str) -> Iterator[Event]:
    """Answer a message; the exchange is stored as a new episode before ``turn_end`` is sent.

    A store that fails in the middle ends the stream with an ``error`` event and without ``turn_end``: the
    status has been sent by then.
    """
    began = memory.clock.monotonic()
    turn_id = str(uuid.uuid5(agent.id, f"turn/{session}/{iso(memory.clock.now())}"))
    yield Event("turn_start", {"turn_id": turn_id, "session_id": session})
    try:
        yield Event("tool_call", {"name": "recall", "arguments": {"query": message}})
        recalled = _worth_telling(memory.recall(agent, message, CANDIDATES), message)
        yield Event("tool_result", {"name": "recall", "result": [shown_episode(one) for one in recalled]})
        yield Event("tool_call", {"name": "search", "arguments": {"query": message}})
        hits = memory.search(agent, message, 3)
        yield Event("tool_result", {"name": "search", "result": [shown_hit(hit) for hit in hits]})
        answer = _answer(recalled, hits)
        words = answer.split(" ")
        for number, word in enumerate(words):
            yield Event("token", {"text": word if number == 0 else f" {word}"})
        memory.remember(agent, session, USER, (Message("user", message), Message("assistant", answer)))
    except pyodbc.Error as error:
        yield Event("error", {"code": "sqlserver_failed", "message": f"SQL Server: {reason(error)}"})
        return
    except httpx.HTTPError as error:
        yield Event("error", {"code": "qdrant_failed", "message": f"Qdrant: {reason(error)}"})
        return
    elapsed = round((memory.clock.monotonic() - began) * 1000)
    yield Event("turn_end", {"turn_id": turn_id, "total_tokens": len(words), "elapsed_ms": elapsed})


def shown_episode(recalled: Recalled) -> dict[str, object]:
    """A recalled episode as JSON."""
    episode = recalled.episode
    return {
        "episodeId": str(episode.id),
        "agentId": str(episode.agent_id),
        "sessionId": episode.session,
        "summary": episode.summary,
        "createdAt": iso(episode.created_at),
        "score": round(recalled.score, 6),
        "messages": [{"role": one.role, "content": one.content} for one in episode.messages],
    }


def shown_hit(hit: Hit) -> dict[str, object]:
    """A found chunk as JSON: its payload and how near it is."""
    return {**hit.payload, "score": round(hit.score, 6)}


def _worth_telling(recalled: list[Recalled], message: str) -> list[Recalled]:
    """The best episode, if any is near enough; that the same was asked before is nothing to tell."""
    return [
        one
        for one in recalled
        if one.score >= REMEMBERED_FROM and message not in (said.content for said in one.episode.messages)
    ][:1]


def _answer(recalled: list[Recalled], hits: list[Hit]) -> str:
    parts = []
    if recalled:
        episode = recalled[0].episode
        said = " / ".join(f"{one.role}: {one.content}" for one in episode.messages)
        parts.append(f"I remember ({episode.created_at:%Y-%m-%d}): {_short(said)}")
    if hits:
        found = hits[0].payload
        parts.append(f"My documents say ({found['source']}): {_short(str(found['content']))}")
    if not parts:
        parts.append("I remember nothing about this, and none of my documents does.")
    return "\n\n".join([*parts, "(Put together from memory; no language model is at work here.)"])


def _short(text: str) -> str:
    return text if len(text) <= QUOTED else text[:QUOTED].rstrip() + " …"
