"""Many collections at once, as every peer sees them: counts, statuses, optimizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from shared.clock import Clock
from shared.errors import QdrantError
from shared.model.base import Document
from shared.stores.qdrant.peers import Peers, exact_count, information
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.together import together
from shared.stores.qdrant.waiting import until

SURVEY_SECONDS = 1800.0
"""The longest time for looking at every collection once."""
GREEN_SECONDS = 600.0
"""How long, all collections together, the optimizers are waited for."""


class Surveyed(Document):
    """One collection, by the address of each peer that was asked."""

    collection: str
    missing: tuple[str, ...] = Field((), description="peers that do not know it")
    counts: dict[str, int] = Field(default_factory=dict, description="exact number of points of the whole")
    statuses: dict[str, str] = Field(default_factory=dict, description="green, yellow, grey or red")
    optimizers: dict[str, str] = Field(default_factory=dict, description="ok, or what is wrong")

    @property
    def green(self) -> bool:
        """Whether every peer that knows it calls it green."""
        return all(status == "green" for status in self.statuses.values())


def survey(peers: Peers, collections: Sequence[str], clock: Clock) -> list[Surveyed]:
    """Ask every peer for every collection; those that are not green are asked again until a deadline.

    Raises:
        UnreachableError: a peer does not answer, or they are too slow.
        QdrantError: a collection cannot be read.
    """
    found = dict(zip(collections, _looks(peers, collections), strict=True))

    def all_green() -> bool | None:
        waiting = [
            name for name, seen in found.items() if not (seen.green or "red" in seen.statuses.values())
        ]
        found.update(zip(waiting, _looks(peers, waiting), strict=True))
        return True if not waiting else None

    until(clock, GREEN_SECONDS, all_green)
    return [found[name] for name in collections]


def _looks(peers: Peers, collections: Iterable[str]) -> list[Surveyed]:
    return together(
        collections,
        lambda name: _look(peers, name),
        seconds=SURVEY_SECONDS,
        doing="counting every restored collection",
    )


def _look(peers: Peers, name: str) -> Surveyed:
    missing: list[str] = []
    counts: dict[str, int] = {}
    statuses: dict[str, str] = {}
    optimizers: dict[str, str] = {}
    for peer in peers:
        try:
            said = information(peer, name)
            counts[peer.url] = exact_count(peer, name)
        except QdrantError as error:
            if not gone(error):
                raise
            missing.append(peer.url)
            continue
        statuses[peer.url] = str(said["status"])
        optimizer = said.get("optimizer_status", "ok")
        optimizers[peer.url] = (
            optimizer if isinstance(optimizer, str) else str(optimizer.get("error", optimizer))
        )
    return Surveyed(
        collection=name, missing=tuple(missing), counts=counts, statuses=statuses, optimizers=optimizers
    )
