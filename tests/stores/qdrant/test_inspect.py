"""Looking at a server, and failing to, on any server."""

from __future__ import annotations

import pytest

from shared.blob.storage import Storage
from shared.errors import (
    NotPermittedError,
    UnreachableError,
)
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming, open_store
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def test_a_wrong_key_is_named_and_not_shown(server: Server, storage: Storage) -> None:
    if not server.key:
        pytest.skip("the server under test asks for no key")
    with (
        open_store(server, storage, key="wrong-key-8712") as wrong,
        pytest.raises(NotPermittedError) as refused,
    ):
        wrong.count("octopus_test_x")
    assert refused.value.specific_code == "wrong_key"
    assert "wrong-key-8712" not in str(refused.value)


def test_a_server_that_is_not_there_is_unreachable(storage: Storage) -> None:
    absent = Server(("http://127.0.0.1:9",), "k", stand_in=False)
    with open_store(absent, storage) as nowhere, pytest.raises(UnreachableError) as unreachable:
        nowhere.inspect()
    absent.close()
    assert unreachable.value.retryable
    assert "127.0.0.1:9" in str(unreachable.value)


def test_inspect_shows_what_is_protected_and_what_is_not(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 3, shards=2)
    server.alias(f"{name}_alias", name)
    state = store.inspect()
    (mine,) = [one for one in state.collections if one.name == name]
    assert mine.holders == (server.peer_id(name),)
    assert mine.shard_ids == (0, 1)
    assert mine.aliases == (f"{name}_alias",)
    assert mine.config["params"]["vectors"] == {"size": 8, "distance": "Cosine"}
    assert state.aliases[f"{name}_alias"] == name
    assert state.versions[str(state.peers[0].id)] == state.peers[0].version
    server.alias(f"{name}_alias", None)


def test_what_a_plan_asks_needs_no_look_at_any_collection(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name = server.create(named(), 1)
    server.alias(f"{name}_alias", name)
    state, found = store.inspect(), store.presence()
    assert name in found.names
    assert set(found.names) == set(state.names)
    assert found.aliases[f"{name}_alias"] == name
    assert found.versions == state.versions
    server.alias(f"{name}_alias", None)


def test_a_collection_that_no_pattern_matches_is_reported_as_unprotected(
    server: Server, storage: Storage, named: Naming
) -> None:
    name = server.create(named(), 0)
    with open_store(server, storage) as other:
        other._settings = other._settings.model_copy(update={"collections": ("^nothing_like_it$",)})
        state = other.inspect()
    assert name in state.unprotected
    assert "unprotected_collections" in {finding.code for finding in state.findings}
