"""Collections and agents that do not know each other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shared.octopus.collections import agent_of, is_scratch


@dataclass(frozen=True)
class OrphanReport:
    """What a comparison of both sides found; every list is sorted.

    ``shared`` are collections that belong to no agent by their name: neither orphans nor provably in use.
    """

    collections_without_agent: tuple[str, ...]
    agents_without_collection: tuple[str, ...]
    shared: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Whether any vector refers to an agent that SQL Server does not know."""
        return bool(self.collections_without_agent)


def orphans(agents: Collection[str], collections: Collection[str]) -> OrphanReport:
    """Compare the agents that SQL Server knows with the collections that Qdrant holds.

    An agent without a collection is no fault in itself: Octopus makes it with the first document. Copies that
    were made here are left out: Octopus does not work with them.

    Args:
        agents: GUIDs, in any case.
        collections: under the names that Octopus gave them.
    """
    known = {agent.lower() for agent in agents}
    owners = {collection: agent_of(collection) for collection in collections if not is_scratch(collection)}
    return OrphanReport(
        tuple(sorted(name for name, owner in owners.items() if owner is not None and owner not in known)),
        tuple(sorted(known - set(owners.values()))),
        tuple(sorted(name for name, owner in owners.items() if owner is None)),
    )
