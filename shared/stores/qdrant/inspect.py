"""What is there: peers, collections and who holds them, aliases, and what deserves attention."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from shared.errors import InvalidRequestError, NotFoundError, QdrantError, UnreachableError
from shared.model.backups import CollectionFacts, Count
from shared.model.base import Document
from shared.model.findings import Finding, Severity
from shared.octopus.collections import is_scratch
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.peers import Node, Peers, Placement, aliases, information, names, placement_of
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.snapshots import demand_name_fits
from shared.stores.qdrant.together import together

INSPECT_SECONDS = 150.0
"""The longest time for looking at every collection: Azure's load balancer ends an HTTP call after 230 s
(Microsoft's documentation of Azure Functions, HTTP trigger limits), and a plan has more to ask than this."""

KNOWN_BAD_VERSIONS = frozenset({"1.16.0", "1.16.1"})
"""Their snapshots cannot be recovered (qdrant/qdrant issue 7622)."""


class CollectionState(Document):
    """A collection that is to be backed up."""

    name: str
    config: dict[str, Any]
    payload_schema: dict[str, Any]
    shard_ids: tuple[int, ...]
    aliases: tuple[str, ...]
    placements: tuple[Placement, ...]
    unheard: tuple[int, ...] = Field(
        (), description="peers that did not say what they hold, and alone may hold some of it"
    )
    problem: str = Field("", description="why its configuration could not be read; empty if it could")

    @property
    def holders(self) -> tuple[int, ...]:
        """Ids of the peers that hold shards of it: each of them has to be asked for a snapshot.

        Also those that did not answer now, if nobody else holds what they hold: without their snapshots the
        set is incomplete, and says so.
        """
        return (*(one.peer_id for one in self.placements if one.local), *self.unheard)

    @property
    def custom_sharding(self) -> bool:
        """Whether its shards are chosen by key, which snapshots do not restore."""
        return is_custom(self.config)

    def facts(self, points: Count) -> CollectionFacts:
        """What a manifest keeps of it."""
        return CollectionFacts(
            name=self.name,
            config=self.config,
            payload_schema=self.payload_schema,
            shard_ids=self.shard_ids,
            aliases=self.aliases,
            points=points,
        )


class QdrantState(Document):
    """The peers and what they hold."""

    peers: tuple[Node, ...]
    collections: tuple[CollectionState, ...]
    aliases: dict[str, str]
    unprotected: tuple[str, ...]
    scratch: tuple[str, ...] = Field((), description="copies that were made here; never backed up")
    silent: tuple[str, ...] = Field((), description="addresses of the peers that did not answer")
    findings: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every collection, also those that no pattern matches."""
        return (*(one.name for one in self.collections), *self.unprotected, *self.scratch)

    @property
    def versions(self) -> dict[str, str]:
        """Server version by peer id, as a manifest keeps it."""
        return {str(peer.id): peer.version for peer in self.peers if peer.id is not None}


class Presence(Document):
    """What there is by name: all that a plan asks, in a few requests however many collections there are."""

    names: tuple[str, ...] = Field(description="every collection")
    aliases: dict[str, str]
    versions: dict[str, str] = Field(description="server version by peer id, as a manifest keeps it")


def presence(peers: Peers) -> Presence:
    """Ask which collections and aliases there are, and every peer for its version, of those that answer.

    Raises:
        RefusedError: the addresses are not the peers of one Qdrant.
        UnreachableError: none answers.
        QdrantError, NotPermittedError: a peer does not answer as it should.
    """
    present, _ = peers.roll_call()
    nodes = [node for _, node in present]
    first = present[0][0]
    return Presence(
        names=tuple(names(first)),
        aliases=aliases(first),
        versions={str(node.id): node.version for node in nodes if node.id is not None},
    )


def is_custom(config: dict[str, Any]) -> bool:
    """Whether a collection's configuration says that shards are chosen by key."""
    return bool(config.get("params", {}).get("sharding_method") == "custom")


def inspect(peers: Peers, patterns: Sequence[str]) -> QdrantState:
    """Look at every peer and every collection, many at the same time.

    A peer that does not answer, or a collection that cannot be read, is a finding and no error: what the
    others know is worth having, and what only they hold fails by itself when its snapshot is asked for.

    Args:
        peers: the configured ones.
        patterns: regular expressions; a collection in whose name one of them is found is to be backed up.

    Raises:
        RefusedError: the addresses are not the peers of one Qdrant.
        UnreachableError: no peer answers, or they are too slow.
        QdrantError, NotPermittedError: a peer does not answer as it should.
    """
    present, silent = peers.roll_call()
    nodes = [node for _, node in present]
    first = present[0][0]
    there = names(first)
    standing_for = aliases(first)
    scratch = tuple(name for name in there if is_scratch(name))
    live = [name for name in there if not is_scratch(name)]
    chosen = [name for name in live if any(re.search(pattern, name) for pattern in patterns)]
    unprotected = tuple(sorted(set(live) - set(chosen)))
    looked = together(
        chosen,
        lambda name: _look(present, name, standing_for),
        seconds=INSPECT_SECONDS,
        doing="looking at every collection",
    )
    collections = tuple(state for state in looked if state is not None)
    return QdrantState(
        peers=tuple(nodes),
        collections=collections,
        aliases=standing_for,
        unprotected=unprotected,
        scratch=scratch,
        silent=tuple(silent),
        findings=(
            *of_silence(silent),
            *_of_peers(nodes, silent),
            *_of_collections(collections, nodes),
            *_of_unprotected(unprotected),
        ),
    )


def inspect_one(peers: Peers, name: str) -> tuple[dict[str, str], CollectionState]:
    """One collection, whatever its name, as every peer sees it; with the peers' versions by their ids.

    Raises:
        UnreachableError: a peer does not answer.
        NotFoundError: there is no such collection.
    """
    nodes = peers.nodes()
    # Requests look through an alias to the collection behind it, which is not what was named.
    there = name in names(peers.first)
    found = _look(list(zip(peers, nodes, strict=True)), name, aliases(peers.first)) if there else None
    if found is None:
        raise NotFoundError(f"There is no collection {name!r} in Qdrant.", code="no_collection")
    return {str(node.id): node.version for node in nodes if node.id is not None}, found


def _look(
    present: Sequence[tuple[Peer, Node]], name: str, standing_for: Mapping[str, str]
) -> CollectionState | None:
    """The collection, or None when it was deleted since it was listed."""
    said: dict[str, Any] = {}
    problem = ""
    try:
        said = information(present[0][0], name)
    except (UnreachableError, QdrantError) as error:
        if isinstance(error, QdrantError) and gone(error):
            return None
        # A collection whose shards are on a peer that is down, or that is broken, answers 500 (measured).
        problem = error.message
    placements, unheard = [], set()
    for peer, node in present:
        try:
            placements.append(placement_of(peer, name))
        except (UnreachableError, QdrantError) as error:
            if isinstance(error, QdrantError) and gone(error):
                return None
            if node.id is not None:
                unheard.add(node.id)
    held = {shard.id for placement in placements for shard in placement.local}
    elsewhere = {(shard_id, peer) for placement in placements for shard_id, peer, _ in placement.remote}
    unheard |= {peer for shard_id, peer in elsewhere if shard_id not in held}
    return CollectionState(
        name=name,
        config=said.get("config") or {},
        payload_schema=said.get("payload_schema") or {},
        shard_ids=tuple(sorted(held | {shard_id for shard_id, _ in elsewhere})),
        aliases=tuple(sorted(alias for alias, collection in standing_for.items() if collection == name)),
        placements=tuple(placements),
        unheard=tuple(sorted(unheard)),
        problem=problem,
    )


def of_silence(silent: Mapping[str, UnreachableError]) -> list[Finding]:
    """A finding for each peer that does not answer."""
    return [
        Finding(
            code="peer_unreachable",
            severity=Severity.ERROR,
            message=f"The peer {url} does not answer: {error.message}",
            hint="Start it, or mend the network: what only it holds is neither backed up nor restored now.",
        )
        for url, error in silent.items()
    ]


def of_consensus(nodes: Sequence[Node]) -> list[Finding]:
    """A finding for each peer whose part of the cluster's consensus does not work."""
    return [
        Finding(
            code="consensus_stopped",
            severity=Severity.ERROR,
            message=f"The peer {node.url} reports its consensus as {node.consensus!r}.",
            hint="The cluster cannot change collections now; look into its log before anything else.",
        )
        for node in nodes
        if node.consensus != "working"
    ]


def _of_peers(nodes: Sequence[Node], silent: Mapping[str, UnreachableError]) -> list[Finding]:
    found = [
        Finding(
            code="known_bad_version",
            severity=Severity.ERROR,
            message=f"The peer {node.url} runs Qdrant {node.version}, whose snapshots cannot be recovered.",
            hint="Upgrade to 1.16.2 or later, then back up again.",
        )
        for node in nodes
        if node.version in KNOWN_BAD_VERSIONS
    ]
    found += of_consensus(nodes)
    if len({node.version for node in nodes}) > 1:
        found.append(
            Finding(
                code="versions_differ",
                severity=Severity.WARNING,
                message="The peers run different versions: " + ", ".join(n.version for n in nodes) + ".",
                hint="Finish the upgrade; a snapshot is only recovered by the same or a newer version.",
            )
        )
    missing = sorted({member for node in nodes for member in node.members} - {node.id for node in nodes})
    nowhere = len(missing) - len(silent)  # which id a silent peer has, nobody says
    if nowhere > 0:
        which = f": {missing}" if not silent else f", among {missing}"
        found.append(
            Finding(
                code="peer_without_address",
                severity=Severity.ERROR,
                message=f"No address is known of {nowhere} peer(s) of the cluster{which}.",
                hint="Add their REST addresses to QDRANT_URLS; shards that only they hold are not backed up.",
            )
        )
    return found


def _of_collections(collections: Sequence[CollectionState], nodes: Sequence[Node]) -> list[Finding]:
    found = []
    for state in collections:
        held = {shard.id for placement in state.placements for shard in placement.local}
        if unheld := sorted(set(state.shard_ids) - held):
            found.append(
                Finding(
                    code="shard_out_of_reach",
                    severity=Severity.ERROR,
                    message=f"Shards {unheld} of {state.name!r} are on no peer that answers.",
                    hint="Bring the missing peers back, or add their addresses to QDRANT_URLS; "
                    "without them its backup has holes.",
                )
            )
        if state.problem:
            found.append(
                Finding(
                    code="collection_unreadable",
                    severity=Severity.ERROR,
                    message=f"{state.name!r} cannot be read: {state.problem}",
                    hint="Look into the log of the peer. A good snapshot recovered over it mends it.",
                )
            )
        if state.custom_sharding:
            found.append(
                Finding(
                    code="custom_sharding",
                    severity=Severity.WARNING,
                    message=f"{state.name!r} uses custom sharding: Qdrant restores no points of it.",
                    hint="It is backed up, but restoring it is refused (qdrant/qdrant issue 10135).",
                )
            )
        found += _of_name(state.name, nodes)
    return found


def _of_name(name: str, nodes: Sequence[Node]) -> list[Finding]:
    try:
        for node in nodes:
            demand_name_fits(name, node.id)
    except InvalidRequestError as error:
        return [
            Finding(code="name_too_long", severity=Severity.ERROR, message=error.message, hint=error.hint)
        ]
    return []


def _of_unprotected(unprotected: Sequence[str]) -> list[Finding]:
    if not unprotected:
        return []
    shown = ", ".join(repr(name) for name in unprotected[:5]) + (" …" if len(unprotected) > 5 else "")
    return [
        Finding(
            code="unprotected_collections",
            severity=Severity.WARNING,
            message=f"{len(unprotected)} collection(s) match no pattern of QDRANT_COLLECTIONS: {shown}.",
            hint="Nothing backs them up. Add a pattern if they matter.",
        )
    ]
