"""A collection is deleted only when its copy is proven, on any server."""

from __future__ import annotations

import pytest

from shared.errors import QdrantError, RefusedError
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def refused(store: QdrantStore, *wanted: object) -> str:
    with pytest.raises(RefusedError) as raised:
        store.remove(*wanted)  # type: ignore[arg-type]
    return raised.value.specific_code


def test_what_was_copied_is_deleted_and_a_repetition_is_harmless(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name, copy = server.create(named(), 6), server.create(named(), 6)
    assert store.remove(name, copy, 6)["was_there"]
    assert not server.exists(name)
    assert server.count(copy) == 6
    assert not store.remove(name, copy, 6)["was_there"]


def test_a_collection_that_was_written_to_since_is_kept(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name, copy = server.create(named(), 7), server.create(named(), 6)
    assert refused(store, name, copy, 6) == "changed_since_copy"
    assert server.count(name) == 7


def test_without_a_whole_copy_nothing_is_deleted(server: Server, store: QdrantStore, named: Naming) -> None:
    name, copy = server.create(named(), 6), server.create(named(), 5)
    assert refused(store, name, copy, 6) == "changed_since_copy"
    with pytest.raises(QdrantError):
        store.remove(name, named(), 6)
    assert server.count(name) == 6


def test_a_collection_that_an_alias_stands_for_is_kept(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    name, copy = server.create(named(), 2), server.create(named(), 2)
    server.alias(f"{name}_alias", name)
    assert refused(store, name, copy, 2) == "alias_in_use"
    server.alias(f"{name}_alias", None)
    assert server.count(name) == 2
