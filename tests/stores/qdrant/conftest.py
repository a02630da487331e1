"""The server and the storage that the contract is checked against.

``QDRANT_URLS`` and ``QDRANT_API_KEY`` name a real server, ``BACKUP_STORAGE_URL`` and
``BACKUP_STORAGE_CREDENTIAL`` a storage account that it can reach; without them the local stand-ins are
started. Only collections whose names begin with ``octopus_test_`` are touched.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina
from pydantic import SecretStr

from local import processes
from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.clock import SystemClock, new_ulid
from shared.model.backups import CollectionFacts, QdrantFacts, SnapshotPart
from shared.model.plans import CollectionStep, PartToRestore
from shared.settings import QdrantSettings, StorageSettings
from shared.stores.qdrant import QdrantStore, SnapshotRequest
from tests.stores.qdrant.server import PREFIX, Server

ROOT = Path(__file__).resolve().parents[3]
STAND_IN_KEY = "key-of-the-stand-in-5f3a"


GIVEN = dict(os.environ)
"""As the tests were started: other tests change the environment while they run."""


@pytest.fixture(scope="session")
def account(request: pytest.FixtureRequest) -> Azurite | None:
    """Azurite, unless a storage account is named."""
    if GIVEN.get("BACKUP_STORAGE_URL"):
        return None
    shared: Azurite = request.getfixturevalue("azurite")
    return shared


@pytest.fixture(scope="session")
def storage(account: Azurite | None) -> Iterator[Storage]:
    settings = (
        StorageSettings.model_validate(
            {"BACKUP_STORAGE_URL": account.url, "BACKUP_STORAGE_CREDENTIAL": account.account_key}
        )
        if account
        else StorageSettings()
    )
    with Storage.open(settings, SystemClock()) as opened:
        opened.ensure_containers()
        yield opened


@pytest.fixture(scope="session")
def server(account: Azurite | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test: a real one, or the stand-in with a key."""
    if urls := GIVEN.get("QDRANT_URLS"):
        real = Server(tuple(urls.split(",")), GIVEN.get("QDRANT_API_KEY", ""), stand_in=False)
        yield real
        real.close()
        return
    yield from start_stand_in(tmp_path_factory.mktemp("qdrant"), account)


@pytest.fixture(scope="session")
def stand_in(
    server: Server, account: Azurite | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that takes orders for faults; a second one where the server under test is real."""
    if server.stand_in:
        yield server
        return
    yield from start_stand_in(tmp_path_factory.mktemp("qdrant-faults"), account)


def start_stand_in(folder: Path, account: Azurite | None, *options: str) -> Iterator[Server]:
    child = processes.start(
        "qdrant",
        [sys.executable, "-m", "local.qdrant", "--data-dir", str(folder / "data"), *options],
        log=folder / "log.txt",
        env={"QDRANT__SERVICE__API_KEY": STAND_IN_KEY, **(account.env() if account else {})},
        cwd=ROOT,
    )
    running = Server((str(child.ready["url"]),), STAND_IN_KEY, stand_in=True)
    yield running
    running.close()
    child.stop()


@pytest.fixture(autouse=True)
def short_retries() -> Iterator[None]:
    """Retries without pauses, so that what never answers is known to within milliseconds."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def store(server: Server, storage: Storage) -> Iterator[QdrantStore]:
    with open_store(server, storage) as opened:
        yield opened


def open_store(server: Server, storage: Storage, *, key: str | None = None) -> QdrantStore:
    settings = QdrantSettings.model_validate(
        {
            "QDRANT_URLS": ",".join(server.urls),
            "QDRANT_API_KEY": SecretStr(server.key if key is None else key),
            "QDRANT_COLLECTIONS": f"^{PREFIX}",
        }
    )
    return QdrantStore(settings, storage, SystemClock())


Naming = Callable[..., str]


@pytest.fixture
def named(server: Server) -> Iterator[Naming]:
    """Gives names of collections that are removed afterwards, with their snapshots."""
    yield from naming(server)


def naming(server: Server) -> Iterator[Naming]:
    given: list[str] = []

    def name(suffix: str = "") -> str:
        given.append(f"{PREFIX}{uuid.uuid4().hex[:12]}{suffix}")
        return given[-1]

    yield name
    for one in given:
        if server.exists(one):
            for snapshot in server.snapshots(one):
                server.ask("DELETE", server.path(one, "snapshots", snapshot), wait="true")
            server.drop(one)


def request_for(server: Server, collection: str) -> SnapshotRequest:
    attempt = new_ulid()
    return SnapshotRequest(
        peer_id=server.peer_id(collection),
        collection=collection,
        attempt=attempt,
        prefix=f"qdrant/tests/{attempt}/",
    )


def set_of(store: QdrantStore, *parts: SnapshotPart) -> QdrantFacts:
    """The facts of a snapshot set, as a manifest keeps them."""
    state = store.inspect()
    collections: list[CollectionFacts] = [
        one.facts(part.points) for part in parts for one in state.collections if one.name == part.collection
    ]
    return QdrantFacts(versions=state.versions, collections=tuple(collections), parts=parts)


def step_for(*parts: SnapshotPart, target: str, overwrites: bool = False) -> CollectionStep:
    return CollectionStep(
        id="collection-1",
        title="Restore",
        collection=parts[0].collection,
        target=target,
        parts=tuple(
            PartToRestore(peer_id=part.peer_id, checksum=part.checksum, blob=part.blob) for part in parts
        ),
        overwrites=overwrites,
    )
