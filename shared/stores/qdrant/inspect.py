"""What is there: peers, collections and who holds them, aliases, and what deserves attention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shared.errors import BackupSystemError, InvalidRequestError
from shared.model.backups import CollectionFacts, Count
from shared.model.base import Document
from shared.model.findings import Finding, Severity
from shared.stores.qdrant.peers import Node, Peers, Placement, aliases, information, names
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.snapshots import demand_name_fits

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

    @property
    def holders(self) -> tuple[int, ...]:
        """Ids of the peers that hold shards of it: each of them has to be asked for a snapshot."""
        return tuple(placement.peer_id for placement in self.placements if placement.local)

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
    findings: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every collection, also those that no pattern matches."""
        return (*(collection.name for collection in self.collections), *self.unprotected)

    @property
    def versions(self) -> dict[str, str]:
        """Server version by peer id, as a manifest keeps it."""
        return {str(peer.id): peer.version for peer in self.peers if peer.id is not None}


def is_custom(config: dict[str, Any]) -> bool:
    """Whether a collection's configuration says that shards are chosen by key."""
    return bool(config.get("params", {}).get("sharding_method") == "custom")


def inspect(peers: Peers, patterns: Sequence[str]) -> QdrantState:
    """Look at every peer and every collection.

    Args:
        peers: the configured ones.
        patterns: regular expressions; a collection in whose name one of them is found is to be backed up.

    Raises:
        RefusedError: the addresses are not the peers of one Qdrant.
        UnreachableError, QdrantError, NotPermittedError: a peer does not answer as it should.
    """
    nodes = peers.nodes()
    there = names(peers.first)
    standing_for = aliases(peers.first)
    chosen = [name for name in there if any(re.search(pattern, name) for pattern in patterns)]
    unprotected = tuple(name for name in there if name not in set(chosen))
    collections = tuple(state for name in chosen if (state := _look(peers, name, standing_for)) is not None)
    return QdrantState(
        peers=tuple(nodes),
        collections=collections,
        aliases=standing_for,
        unprotected=unprotected,
        findings=(*_of_peers(nodes), *_of_collections(collections, nodes), *_of_unprotected(unprotected)),
    )


def _look(peers: Peers, name: str, standing_for: dict[str, str]) -> CollectionState | None:
    """The collection, or None when it was deleted since it was listed."""
    try:
        said = information(peers.first, name)
        placements = tuple(placement for _, placement in peers.placements(name))
    except BackupSystemError as error:
        if gone(error):
            return None
        raise
    shard_ids = {shard.id for placement in placements for shard in placement.local}
    shard_ids |= {shard_id for placement in placements for shard_id, _, _ in placement.remote}
    return CollectionState(
        name=name,
        config=said["config"],
        payload_schema=said.get("payload_schema") or {},
        shard_ids=tuple(sorted(shard_ids)),
        aliases=tuple(sorted(alias for alias, collection in standing_for.items() if collection == name)),
        placements=placements,
    )


def _of_peers(nodes: Sequence[Node]) -> list[Finding]:
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
    found += [
        Finding(
            code="consensus_stopped",
            severity=Severity.ERROR,
            message=f"The peer {node.url} reports its consensus as {node.consensus!r}.",
            hint="The cluster cannot change collections now; look into its log before anything else.",
        )
        for node in nodes
        if node.consensus != "working"
    ]
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
    if missing:
        found.append(
            Finding(
                code="peer_without_address",
                severity=Severity.ERROR,
                message=f"No address is known of {len(missing)} peer(s) of the cluster: {missing}.",
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
                    message=f"Shards {unheld} of {state.name!r} are on no peer whose address is known.",
                    hint="Add the missing peers to QDRANT_URLS; without them its backup has holes.",
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
