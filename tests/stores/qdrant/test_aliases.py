"""Restoring aliases, on any server."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from shared.blob.storage import Storage
from shared.clock import SystemClock
from shared.errors import (
    NotFoundError,
    NotPermittedError,
    TargetInTheWayError,
)
from shared.settings import QdrantSettings
from shared.stores.qdrant import QdrantStore
from tests.stores.qdrant.conftest import Naming
from tests.stores.qdrant.server import Server

pytestmark = pytest.mark.real


def test_aliases_are_set_moved_and_read_back(server: Server, store: QdrantStore, named: Naming) -> None:
    old, new = server.create(named()), server.create(named())
    alias, fresh = f"{old}_alias", f"{old}_fresh"
    server.alias(alias, old)
    evidence = store.restore_aliases({alias: new, fresh: old})
    assert evidence == {"aliases": {alias: new, fresh: old}, "moved": {alias: old}}
    assert store.inspect().aliases[alias] == new
    server.alias(alias, None)
    server.alias(fresh, None)


def test_an_alias_called_like_a_collection_stops_all_of_them_before_any_is_set(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    one, other = server.create(named()), server.create(named())
    with pytest.raises(TargetInTheWayError) as refused:
        store.restore_aliases({f"{one}_a": one, other: one})
    assert refused.value.specific_code == "alias_is_collection"
    assert f"{one}_a" not in store.inspect().aliases


def test_an_alias_of_a_missing_collection_stops_all_of_them_before_any_is_set(
    server: Server, store: QdrantStore, named: Naming
) -> None:
    one = server.create(named())
    with pytest.raises(NotFoundError):
        store.restore_aliases({f"{one}_a": one, f"{one}_b": f"{one}_missing"})
    assert f"{one}_a" not in store.inspect().aliases


def test_a_restore_uses_the_key_that_may_restore(server: Server, storage: Storage, named: Naming) -> None:
    if not server.key:
        pytest.skip("the server under test asks for no key")
    name = server.create(named())
    settings = QdrantSettings.model_validate(
        {
            "QDRANT_URLS": ",".join(server.urls),
            "QDRANT_API_KEY": SecretStr("may-only-back-up"),
            "QDRANT_RESTORE_API_KEY": SecretStr(server.key),
        }
    )
    with QdrantStore(settings, storage, SystemClock()) as store:
        store.restore_aliases({f"{name}_alias": name})
        with pytest.raises(NotPermittedError):
            store.inspect()
    server.alias(f"{name}_alias", None)
