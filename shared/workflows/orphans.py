"""What one side does not know of the other: collections, agents, single points. Nothing is changed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shared.composition import System
from shared.errors import QdrantError
from shared.octopus.collections import agent_of
from shared.octopus.orphans import OrphanReport, orphans
from shared.stores.qdrant import Expected, Strays

AT_ONCE = 4
LOOKING_SECONDS = 1800.0
"""How long payloads are looked at, all collections together: without an index each costs its whole size. What
is not reached is told."""

NAMED = 200
"""Names in a list of the evidence; the counts are of all."""
SHOWN = 20
"""Collections whose points disagree, and commands, that the evidence shows."""


@dataclass(frozen=True)
class Orphans:
    """What was found.

    ``names`` compares both sides by their names; ``stray`` are the looks at payloads that found something, or
    could not be made. ``points`` counts what the collections without an agent hold; None where it is unknown.
    """

    names: OrphanReport
    stray: tuple[Strays, ...]
    points: Mapping[str, int | None]
    restored_as: Mapping[str, str]

    @property
    def disagreeing(self) -> list[Strays]:
        """Collections with points that name somebody who is not expected there."""
        return [one for one in self.stray if one.disagreeing]

    @property
    def not_judged(self) -> list[Strays]:
        """Collections whose payloads could not be looked at."""
        return [one for one in self.stray if one.not_judged]

    def as_json(self) -> dict[str, Any]:
        """The findings as evidence, bounded, with the commands that quarantine."""
        lost = self.names.collections_without_agent
        return {
            "collections_without_agent": list(lost[:NAMED]),
            "agents_without_collection": list(self.names.agents_without_collection[:NAMED]),
            "shared": list(self.names.shared[:NAMED]),
            "counts": {
                "collections_without_agent": len(lost),
                "agents_without_collection": len(self.names.agents_without_collection),
                "shared": len(self.names.shared),
                "collections_with_points_that_disagree": len(self.disagreeing),
                "points_of_another_agent": sum(one.other_agent for one in self.stray),
                "points_without_agent": sum(one.without_agent for one in self.stray),
                "points_of_another_tenant": sum(one.other_tenant for one in self.stray),
                "points_without_tenant": sum(one.without_tenant for one in self.stray),
                "collections_not_judged": len(self.not_judged),
            },
            "points_without_known_agent": dict(list(self.points.items())[:NAMED]),
            "points_that_disagree": [one.as_json() for one in self.stray if not one.not_judged][:SHOWN],
            "not_judged": {one.collection: one.not_judged for one in self.not_judged[:SHOWN]},
            "quarantine": [quarantine_command(self.restored_as[name]) for name in lost[:SHOWN]],
        }

    def note(self) -> str:
        """The findings in one line."""
        said = []
        if self.names.collections_without_agent:
            said.append(f"{len(self.names.collections_without_agent)} collection(s) without an agent")
        if self.disagreeing:
            odd = sum(max(one.other_agent, one.other_tenant) for one in self.disagreeing)
            said.append(
                f"{odd:,} point(s) of {len(self.disagreeing)} collection(s) name another agent or tenant"
            )
        if self.not_judged:
            said.append(f"{len(self.not_judged)} collection(s) could not be judged")
        return "; ".join(said) or "every vector's agent is known"


def quarantine_command(collection: str) -> str:
    """The command that puts a collection aside."""
    return f"octopus-backup quarantine {shlex.quote(collection)}"


def find_orphans(
    system: System, database: str, collections: Mapping[str, str], check: Callable[[], None] = lambda: None
) -> Orphans:
    """Compare the agents of a database with collections and with what their points say.

    Args:
        system: the system.
        database: whose agents are meant.
        collections: the name that Octopus gave each → the name that it has now.
        check: raises when the run was taken over.

    Raises:
        UnreachableError: a store does not answer.
        StoreError: the agents cannot be read.
    """
    tenants = system.sqlserver.agents_with_tenants(database)
    names = orphans(tenants, collections)
    deadline = system.clock.monotonic() + LOOKING_SECONDS

    def look(original: str) -> Strays:
        check()
        if system.clock.monotonic() > deadline:
            return Strays(
                collection=collections[original], not_judged="There was no time left to look at it."
            )
        return system.qdrant.strays(collections[original], _expected(original, tenants))

    # A collection without an agent is told as a whole: its points need not be compared with one.
    wanted = sorted(name for name in collections if name not in names.collections_without_agent)
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="orphans")
    try:
        found = list(pool.map(look, wanted))
        points = list(
            pool.map(lambda name: _count(system, collections[name]), names.collections_without_agent)
        )
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    odd = tuple(one for one in found if one.disagreeing or one.not_judged or one.without_tenant)
    counted = dict(zip(names.collections_without_agent, points, strict=True))
    return Orphans(names, odd, counted, collections)


def _expected(original: str, tenants: Mapping[str, str | None]) -> Expected:
    """Who may be named in a collection: its agent, in a shared one every agent; and their tenants."""
    agent = agent_of(original)
    agents = tuple(sorted(tenants)) if agent is None else (agent,)
    known = [tenants.get(one) for one in agents]
    in_order = tuple(sorted({tenant for tenant in known if tenant is not None}))
    compared = bool(known) and all(tenant is not None for tenant in known)
    return Expected(agents=agents, tenants=in_order if compared else None, agentless=agent is None)


def _count(system: System, collection: str) -> int | None:
    try:
        return system.qdrant.count(collection).value
    except QdrantError:
        return None
