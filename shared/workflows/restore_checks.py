"""The steps of a restore that try Octopus out, and what they leave as evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shared.checklist import Conversation, Judgement, judge_conversation
from shared.composition import System
from shared.model.plans import ConversationStep
from shared.octopus.api import OctopusApi
from shared.octopus.collections import agent_of
from shared.stores.sqlserver.episodes import KnownEpisode
from shared.workflows.restore_job import Job

MOST_ASKED = 200
"""Characters of a known document, or episode, that a question is made of."""

COLLECTIONS_LOOKED_AT = 20
"""Collections in which a known document is looked for; one with an episode of its agent is preferred."""

EPISODES_TRIED = 3
"""Known episodes of which one has to be recalled: of two with the same words a search may show either."""

_EPISODE_IDS = ("episodeid", "id")


@dataclass(frozen=True)
class _Known:
    """What is known to be in an agent's memory, as far as there is any."""

    agent: str
    content: str | None = None
    source: str | None = None
    episodes: tuple[KnownEpisode, ...] = ()


def converse(job: Job, step: ConversationStep) -> None:
    """Hold a conversation, recall a known episode and search for a known document.

    Raises:
        ProofFailedError: one of them did not do what it should.
    """
    judgement = try_out(job.system, job.octopus, step.target, step.collections)
    if judgement is None:
        job.work.note = "no agent was restored, so there is nobody to talk to"
        return
    said = judgement.evidence
    job.work.note = f"{said['tokens']} tokens in {said['seconds']:.1f} s"
    job.judge(judgement)


def try_out(
    system: System, octopus: OctopusApi, database: str, collections: Mapping[str, str]
) -> Judgement | None:
    """Use Octopus as a person would, and judge what it answers; its conversation becomes one more episode.

    Args:
        system: the system.
        octopus: the API.
        database: the database that Octopus works with.
        collections: collection → the name that it has now, to find a known document in.

    Returns:
        None where there is no agent to talk to.

    Raises:
        BackupSystemError: the API, or a store, does not answer, or with something unforeseen.
    """
    known = _known(system, database, collections)
    if known is None:
        return None
    recalled = _recalled(octopus, known)  # before the conversation, which is an episode itself
    question = known.content[:MOST_ASKED] if known.content else "Hello"
    hits = octopus.search_knowledge(known.agent, question) if known.content else []
    said = octopus.converse(known.agent, question)
    return judge_conversation(
        Conversation(
            status=said.status,
            tokens=said.tokens,
            ended="turn_end" in said.events,
            recalled=recalled is not None if known.episodes else None,
            found=any(hit.get("content") == known.content for hit in hits) if known.content else None,
            agent=known.agent,
            seconds=round(said.seconds, 3),
            deadline_seconds=float(system.settings.octopus.conversation_seconds),
            events=len(said.events),
            last_event=said.events[-1] if said.events else None,
            cut_off=said.cut_off,
            episode=recalled or (known.episodes[0].id if known.episodes else None),
            document=known.source,
        )
    )


def _known(system: System, database: str, collections: Mapping[str, str]) -> _Known | None:
    """An agent with a document and an episode, else with either, else any; None without an agent."""
    best: _Known | None = None
    for known in islice(_with_documents(system, collections), COLLECTIONS_LOOKED_AT):
        episodes = system.sqlserver.known_episodes(database, known.agent)[:EPISODES_TRIED]
        if episodes:
            return _Known(known.agent, known.content, known.source, tuple(episodes))
        best = best or known
    if best is not None:
        return best
    if episodes := system.sqlserver.known_episodes(database):
        agent = episodes[0].agent
        own = [one for one in episodes if one.agent == agent][:EPISODES_TRIED]
        return _Known(agent, episodes=tuple(own))
    agents = system.sqlserver.agents(database)
    return _Known(agents[0]) if agents else None


def _with_documents(system: System, collections: Mapping[str, str]) -> Iterator[_Known]:
    """Agents with a document of theirs."""
    for collection, restored in collections.items():
        agent = agent_of(collection)
        payload = system.qdrant.sample(restored) if agent else None
        content = payload.get("content") if payload else None
        if agent and payload and isinstance(content, str) and content.strip():
            source = payload.get("source")
            yield _Known(agent, content, str(source)[:MOST_ASKED] if source is not None else None)


def _recalled(octopus: OctopusApi, known: _Known) -> str | None:
    """The id of the known episode that the search showed; None if it showed none of them."""
    for episode in known.episodes:
        shown = octopus.search_episodes(known.agent, episode.text[:MOST_ASKED])
        if shows(shown, episode):
            return episode.id
    return None


def shows(items: Sequence[Mapping[str, Any]], episode: KnownEpisode) -> bool:
    """Whether an episode is among those that the API shows: by its id, or by its words where it has none."""
    for item in items:
        ids = [str(value).lower() for name, value in item.items() if name.lower() in _EPISODE_IDS]
        if episode.id in ids or (not ids and episode.text in _texts(item)):
            return True
    return False


def _texts(value: object) -> str:
    """Every text in an item, one a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(map(_texts, value.values()))
    return "\n".join(map(_texts, value)) if isinstance(value, list) else ""
