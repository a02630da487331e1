"""All configured peers as one: who is who, who holds which shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import SecretStr

from shared.errors import (
    BackupSystemError,
    InvalidSettingsError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from shared.model.base import Document
from shared.stores.qdrant.client import Peer
from shared.stores.qdrant.replies import gone
from shared.stores.qdrant.together import together

ROLL_CALL_SECONDS = 150.0
"""The longest time that every peer is given to say who it is; above all retries of one request."""


class Shard(Document):
    """One replica of a shard on the peer that was asked."""

    id: int
    state: str
    points: int | None


class Placement(Document):
    """What one peer says of a collection: its own shards, and whether something is on its way."""

    peer_id: int
    local: tuple[Shard, ...]
    remote: tuple[tuple[int, int, str], ...]  # shard id, peer id, state
    transfers: int

    @property
    def settled(self) -> bool:
        """Whether every replica that the peer knows of is active and none is being moved."""
        states = [shard.state for shard in self.local] + [state for _, _, state in self.remote]
        return not self.transfers and all(state == "Active" for state in states)


class Node(Document):
    """What a peer says of itself. ``id`` is None on a server without cluster mode and without collections."""

    id: int | None
    url: str
    version: str
    clustered: bool
    consensus: str = "working"
    members: tuple[int, ...] = ()


class Peers:
    """The peers of one Qdrant, one connection pool each.

    Args:
        urls: their REST addresses.
        api_key: sent to all of them.

    Raises:
        InvalidSettingsError: there is no address.
    """

    def __init__(self, urls: Sequence[str], api_key: SecretStr | None) -> None:
        if not urls:
            raise InvalidSettingsError(
                "QDRANT_URLS: is empty, so there is no Qdrant to work with (example: http://127.0.0.1:6333)"
            )
        self._peers = [Peer(url, api_key) for url in urls]

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)

    @property
    def first(self) -> Peer:
        """Any peer, for what every peer knows."""
        return self._peers[0]

    def close(self) -> None:
        """Give all connections back."""
        for peer in self._peers:
            peer.close()

    def nodes(self) -> list[Node]:
        """Ask every peer who it is, in the order of the settings.

        Raises:
            UnreachableError: one does not answer.
            RefusedError: two addresses lead to the same peer, or to servers that are not one cluster.
        """
        present, silent = self.roll_call()
        if silent:
            raise next(iter(silent.values()))
        return [node for _, node in present]

    def roll_call(self) -> tuple[list[tuple[Peer, Node]], dict[str, UnreachableError]]:
        """Ask every peer who it is, all at the same time.

        Returns:
            Those that answered, in the order of the settings, and why the others did not, by address.

        Raises:
            UnreachableError: none answers.
            RefusedError: two addresses lead to the same peer, or to servers that are not one cluster.
        """

        def ask(peer: Peer) -> Node | UnreachableError:
            try:
                return node_of(peer)
            except UnreachableError as error:
                return error

        answers = together(self._peers, ask, seconds=ROLL_CALL_SECONDS, doing="asking who the peers are")
        asked = list(zip(self._peers, answers, strict=True))
        present = [(peer, answer) for peer, answer in asked if isinstance(answer, Node)]
        silent = {peer.url: answer for peer, answer in asked if isinstance(answer, UnreachableError)}
        if not present:
            raise next(iter(silent.values()))
        self._demand_one_cluster([node for _, node in present])
        return present, silent

    def _demand_one_cluster(self, nodes: Sequence[Node]) -> None:
        ids = [node.id for node in nodes]
        if len(self._peers) > 1 and not all(node.clustered for node in nodes):
            raise RefusedError(
                "QDRANT_URLS names several servers, and not all of them run in cluster mode.",
                "Several addresses must be the peers of one cluster.",
                code="not_one_cluster",
            )
        if len(set(ids)) < len(ids):
            raise RefusedError(
                "Two addresses in QDRANT_URLS lead to the same peer.",
                "Name each peer's own address, not that of a load balancer.",
                code="same_peer_twice",
            )
        if any(node.id not in nodes[0].members for node in nodes if nodes[0].clustered):
            raise RefusedError(
                "QDRANT_URLS names peers of different clusters.",
                "All addresses must belong to one cluster.",
                code="not_one_cluster",
            )

    def placements(self, collection: str) -> list[tuple[Peer, Placement]]:
        """Ask every peer what it holds of the collection.

        Raises:
            QdrantError: with status 404 when there is no such collection.
        """
        return [(peer, placement_of(peer, collection)) for peer in self._peers]

    def holding(self, collection: str, peer_id: int) -> tuple[Peer, Placement]:
        """The peer of that id, and what it holds of the collection. Other peers may be down.

        Raises:
            NotFoundError: none of the addresses leads to it.
            UnreachableError: none that answers is it, and one does not answer.
            QdrantError: with status 404 when there is no such collection.
        """
        silent: UnreachableError | None = None
        for peer in self._peers:
            try:
                placement = placement_of(peer, collection)
            except UnreachableError as error:
                silent = error
                continue
            if placement.peer_id == peer_id:
                return peer, placement
        if silent is not None:
            raise silent
        raise NotFoundError(
            f"None of the addresses in QDRANT_URLS leads to the peer {peer_id}.",
            "Add its address, or start again so that the peers are listed anew.",
            code="peer_unknown",
        )


def node_of(peer: Peer) -> Node:
    """Who a peer is."""
    version = peer.read().get("version", "")
    cluster = peer.read("cluster")
    if cluster.get("status") == "enabled":
        thread = cluster.get("consensus_thread_status") or {}
        return Node(
            id=int(cluster["peer_id"]),
            url=peer.url,
            version=version,
            clustered=True,
            consensus=str(thread.get("consensus_thread_status", "working")),
            members=tuple(int(member) for member in cluster.get("peers") or {}),
        )
    return Node(id=_standalone_id(peer), url=peer.url, version=version, clustered=False)


def placement_of(peer: Peer, collection: str) -> Placement:
    """What a peer holds of a collection."""
    said: dict[str, Any] = peer.read("collections", collection, "cluster")
    return Placement(
        peer_id=int(said["peer_id"]),
        local=tuple(
            Shard(id=int(one["shard_id"]), state=str(one["state"]), points=one.get("points_count"))
            for one in said["local_shards"]
        ),
        remote=tuple(
            (int(one["shard_id"]), int(one["peer_id"]), str(one["state"])) for one in said["remote_shards"]
        ),
        transfers=len(said.get("shard_transfers") or ()) + len(said.get("resharding_operations") or ()),
    )


def names(peer: Peer) -> list[str]:
    """The names of all collections, sorted."""
    return sorted(str(one["name"]) for one in peer.read("collections")["collections"])


def aliases(peer: Peer) -> dict[str, str]:
    """Every alias and the collection that it stands for."""
    return {str(one["alias_name"]): str(one["collection_name"]) for one in peer.read("aliases")["aliases"]}


def information(peer: Peer, collection: str) -> dict[str, Any]:
    """Status, configuration and payload schema of a collection."""
    found: dict[str, Any] = peer.read("collections", collection)
    return found


def exact_count(peer: Peer, collection: str) -> int:
    """The number of points of the whole collection, as this peer counts it; never the estimated one."""
    return int(peer.read("collections", collection, "points", "count", body={"exact": True})["count"])


def sample(peer: Peer, collection: str) -> dict[str, Any] | None:
    """The payload of some point of a collection; None if it has no point."""
    body = {"limit": 1, "with_payload": True, "with_vector": False}
    points = peer.read("collections", collection, "points", "scroll", body=body)["points"]
    return dict(points[0]["payload"] or {}) if points else None


def _standalone_id(peer: Peer) -> int | None:
    """A server without cluster mode tells its peer id only together with a collection's shards."""
    for name in names(peer):
        try:
            return placement_of(peer, name).peer_id
        except BackupSystemError as error:
            if not gone(error):  # deleted since it was listed
                raise
    return None
