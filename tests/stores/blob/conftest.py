"""One Azurite for the session (one per worker), one emptied account for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.azurite import Azurite
from local.certificates import Certificate
from shared.blob.storage import CONTAINERS, Storage
from tests.stores.blob.support import Proxy, storage_at


@pytest.fixture(scope="session")
def azurite(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """An Azurite of their own: they empty it."""
    server = Azurite(tmp_path_factory.mktemp("azurite"), certificate=certificate).start()
    yield server
    server.stop()


@pytest.fixture
def storage(azurite: Azurite) -> Iterator[Storage]:
    """The account with its four containers, all empty."""
    with storage_at(azurite.url, azurite.account_key) as opened:
        for name in CONTAINERS:
            container = opened.container(name)
            with contextlib.suppress(ResourceNotFoundError):
                if next(iter(container.list_blobs(include=["uncommittedblobs"])), None) is None:
                    continue
                container.delete_container()  # faster than blob by blob
            container.create_container()
        yield opened


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[Proxy]:
    made = Proxy(azurite)
    yield made
    made.close()


@pytest.fixture
def troubled(storage: Storage, proxy: Proxy, azurite: Azurite) -> Iterator[Storage]:
    """The same account as ``storage``, through the proxy."""
    with storage_at(proxy.url, azurite.account_key) as opened:
        yield opened
