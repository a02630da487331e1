"""The steps of a restore that compare both sides and try Octopus out, and what they leave as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.checklist import Conversation, judge_conversation
from shared.model.plans import CollectionStep, ConversationStep, OrphansStep
from shared.octopus.collections import agent_of
from shared.octopus.orphans import orphans
from shared.workflows.restore_job import Job

EPISODES = "dbo.Octopus_Episodes"
MOST_ASKED = 200
"""Characters of a known document that a question is made of."""


def compare_agents(job: Job, step: OrphansStep) -> None:
    """Compare the agents of a database with the collections that were restored."""
    steps = [s for s in job.plan.execution.steps if isinstance(s, CollectionStep)]
    collections = {s.collection for s in steps if s.target in step.collections}
    if step.target == step.database:  # it is in service, and so is every collection that is there
        collections |= set(job.system.qdrant.inspect().names)
    found = orphans(job.system.sqlserver.agents(step.target), sorted(collections))
    job.work.evidence |= {
        "collections_without_agent": list(found.collections_without_agent),
        "agents_without_collection": list(found.agents_without_collection),
        "shared": list(found.shared),
    }
    strays = len(found.collections_without_agent)
    job.work.note = f"{strays} collection(s) without an agent" if strays else "every vector's agent is known"


@dataclass(frozen=True)
class _Known:
    agent: str
    content: str


def _known_documents(job: Job, step: ConversationStep) -> Iterator[_Known]:
    """Documents that were restored, with the agents that they belong to."""
    for collection, restored in step.collections.items():
        agent = agent_of(collection)
        payload = job.system.qdrant.sample(restored) if agent else None
        if agent and payload and isinstance(payload.get("content"), str):
            yield _Known(agent, payload["content"])


def converse(job: Job, step: ConversationStep) -> None:
    """Hold a conversation, recall an episode and search for a known document."""
    known = next(_known_documents(job, step), None)
    agent = known.agent if known else next(iter(job.system.sqlserver.agents(step.target)), None)
    if agent is None:
        job.work.note = "no agent was restored, so there is nobody to talk to"
        return
    question = known.content[:MOST_ASKED] if known else "Hello"
    said = job.octopus.converse(agent, question)
    episodes = job.system.sqlserver.counts(step.target).get(EPISODES)
    recalled = bool(job.octopus.search_episodes(agent, question)) if episodes and episodes.value else None
    hits = job.octopus.search_knowledge(agent, question) if known else []
    found = any(hit.get("content") == known.content for hit in hits) if known else None
    job.work.note = f"{said.tokens} tokens in {said.seconds:.1f} s"
    ended = "turn_end" in said.events
    job.judge(judge_conversation(Conversation(said.status, said.tokens, ended, recalled, found)))
