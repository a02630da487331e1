"""What happens when the server, the network or a neighbour misbehaves. Needs a server that fails on order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from azure.core.exceptions import ResourceNotFoundError

from local.azurite import Azurite
from shared.blob.storage import Storage
from shared.clock import SystemClock
from shared.errors import IntegrityError, LockedError, OutcomeUnknownError, QdrantError
from shared.model.backups import BlobRef, SnapshotPart
from shared.stores.qdrant import QdrantStore, recover, snapshots
from tests.stores.qdrant.conftest import (
    Naming,
    naming,
    open_store,
    request_for,
    set_of,
    start_stand_in,
    step_for,
)
from tests.stores.qdrant.server import Server


@pytest.fixture
def failing(stand_in: Server) -> Iterator[Server]:
    yield stand_in
    stand_in.forget_faults()


@pytest.fixture
def store(failing: Server, storage: Storage) -> Iterator[QdrantStore]:
    with open_store(failing, storage) as opened:
        yield opened


@pytest.fixture
def named(failing: Server) -> Iterator[Naming]:
    yield from naming(failing)


def blobs_below(storage: Storage, prefix: str) -> list[str]:
    return [blob.name for blob in storage.container("data").list_blobs(name_starts_with=prefix)]


def test_a_download_that_breaks_twice_is_resumed_where_it_was(
    failing: Server, store: QdrantStore, named: Naming
) -> None:
    name = failing.create(named(), 400, fat=4_000)
    failing.order(download_cut_after=700_000)
    failing.order(download_cut_after=300_000)
    seen: list[int] = []
    part = store.back_up(request_for(failing, name), seen.append)
    assert part.blob.size > 1_000_000
    assert part.blob.sha256 == part.checksum
    assert seen[-1] == part.blob.size


def test_a_wrong_checksum_commits_nothing_and_leaves_nothing_on_the_server(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    name = failing.create(named(), 10)
    request = request_for(failing, name)
    failing.order(checksum_wrong=True, times=2)
    with pytest.raises(IntegrityError) as wrong:
        store.back_up(request)
    failing.forget_faults()
    assert wrong.value.specific_code == "checksum_mismatch"
    assert blobs_below(storage, request.prefix) == []
    assert failing.snapshots(name) == []


def test_a_collection_deleted_while_it_is_backed_up_is_one_clear_error(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    name = failing.create(named(), 10)
    request = request_for(failing, name)
    failing.order(create_delay=0.8)
    deletion = threading.Timer(0.3, failing.drop, [name])
    deletion.start()
    with pytest.raises(QdrantError) as gone:
        store.back_up(request)
    deletion.join()
    assert gone.value.specific_code == "collection_gone"
    assert name in gone.value.message
    assert blobs_below(storage, request.prefix) == []


def test_a_snapshot_that_cannot_be_made_leaves_nothing_behind(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    name = failing.create(named(), 10)
    request = request_for(failing, name)
    failing.order(status=500, match=f"POST {failing.path(name, 'snapshots')}")
    with pytest.raises(QdrantError) as failed:
        store.back_up(request)
    assert failed.value.status == 500
    assert failing.snapshots(name) == []
    assert blobs_below(storage, request.prefix) == []


def test_a_lost_answer_to_create_is_found_in_the_list_and_not_asked_for_again(
    failing: Server, store: QdrantStore, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = failing.create(named(), 10)
    monkeypatch.setattr(snapshots, "WORK_SECONDS", 0.2)
    failing.order(create_delay=1.0)
    part = store.back_up(request_for(failing, name))
    assert part.blob.sha256 == part.checksum
    time.sleep(0.2)
    assert failing.snapshots(name) == []


def test_an_answer_to_create_that_stays_lost_ends_at_a_deadline(
    failing: Server, store: QdrantStore, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = failing.create(named(), 10)
    monkeypatch.setattr(snapshots, "WORK_SECONDS", 0.1)
    monkeypatch.setattr(snapshots, "LOST_REPLY_SECONDS", 0.3)
    failing.order(create_delay=1.5)
    with pytest.raises(OutcomeUnknownError) as unknown:
        store.back_up(request_for(failing, name))
    assert unknown.value.specific_code == "snapshot_outcome_unknown"
    time.sleep(1.5)


def test_two_snapshots_of_one_collection_are_never_made_at_once(
    failing: Server, store: QdrantStore, named: Naming
) -> None:
    name = failing.create(named(), 10)
    request = request_for(failing, name)
    failing.order(create_delay=0.8)
    parts: list[SnapshotPart] = []
    first = threading.Thread(target=lambda: parts.append(store.back_up(request)))
    first.start()
    time.sleep(0.3)
    with pytest.raises(LockedError) as locked:
        store.back_up(request_for(failing, name))
    first.join()
    assert locked.value.specific_code == "snapshot_running"
    assert len(parts) == 1


def test_a_busy_server_is_asked_again(failing: Server, store: QdrantStore, named: Naming) -> None:
    name = failing.create(named(), 4)
    failing.order(status=503, match=f"POST {failing.path(name, 'points', 'count')}", times=2)
    assert store.count(name).value == 4


def test_a_snapshot_that_cannot_be_deleted_is_reported_and_the_backup_counts(
    failing: Server, store: QdrantStore, named: Naming, caplog: pytest.LogCaptureFixture
) -> None:
    name = failing.create(named(), 4)
    made: list[str] = []
    delete = failing.path(name, "snapshots")

    def watch(_: int) -> None:
        if not made:
            made.extend(failing.snapshots(name))
            failing.order(status=500, match=f"DELETE {delete}/{made[0]}", times=5)

    with caplog.at_level(logging.WARNING, "shared.stores.qdrant"):
        part = store.back_up(request_for(failing, name), watch)
    failing.forget_faults()
    assert part.snapshot_name in caplog.text
    assert failing.snapshots(name) == [part.snapshot_name]


def test_a_lost_answer_to_a_recovery_into_a_new_name_is_waited_for_and_proven(
    failing: Server, store: QdrantStore, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = store.back_up(request_for(failing, failing.create(named(), 25)))
    facts = set_of(store, part)
    monkeypatch.setattr(recover, "WORK_SECONDS", 2.0)
    failing.order(recover_delay=3.5)
    evidence = store.restore(step_for(part, target=(target := named())), facts)
    assert failing.count(target) == 25
    assert [one["answer_lost"] for one in evidence["recovered"]] == [True]


def test_a_lost_answer_to_a_recovery_over_a_collection_is_followed_by_another(
    failing: Server, store: QdrantStore, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = failing.create(named(), 25)
    part = store.back_up(request_for(failing, name))
    facts = set_of(store, part)
    failing.write(name, [99])
    monkeypatch.setattr(recover, "WORK_SECONDS", 2.0)  # enough for the second one, which is not delayed
    failing.order(recover_delay=3.5)
    evidence = store.restore(step_for(part, target=name, overwrites=True), facts)
    assert failing.count(name) == 25
    assert [one["answer_lost"] for one in evidence["recovered"]] == [True]


def abandoned(server: Server, storage: Storage, part: SnapshotPart, target: str) -> None:
    """Begin a recovery as a process does that is killed meanwhile: the server goes on with it."""
    body = {
        "location": storage.read_url(part.blob, 60), "priority": "snapshot", "checksum": part.checksum,
    }  # fmt: skip
    with pytest.raises(httpx.ReadTimeout):
        httpx.put(
            f"{server.urls[0]}{server.path(target, 'snapshots', 'recover')}",
            json=body, params={"wait": "true"}, headers={"api-key": server.key}, timeout=1.0,
        )  # fmt: skip


@pytest.mark.parametrize("existed", [True, False])
def test_a_recovery_that_a_killed_attempt_left_running_ends_before_ours_begins(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming, existed: bool
) -> None:
    name = failing.create(named(), 25)
    part = store.back_up(request_for(failing, name))
    facts = set_of(store, part)
    target = name if existed else named()
    failing.order(recover_delay=3.0)
    abandoned(failing, storage, part, target)
    step = step_for(part, target=target, overwrites=existed)
    evidence = store.restore(step, facts, begun_before=True, copied=True)
    failing.write(target, [77])  # Octopus goes on working, as soon as the step is done
    failing.ask("POST", "/_standin/settle")
    time.sleep(2.5)  # when the abandoned recovery would have ended, had nobody waited for it
    assert evidence["waited_for_earlier_recovery"] > 0.5
    assert failing.count(target) == 26


def test_a_recovery_that_never_ends_stops_the_restore_before_anything_is_changed(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = failing.create(named(), 5)
    part = store.back_up(request_for(failing, name))
    facts = set_of(store, part)
    monkeypatch.setattr(recover, "LOST_REPLY_SECONDS", 0.2)
    failing.order(recover_delay=3.0)
    abandoned(failing, storage, part, name)
    with pytest.raises(LockedError) as running:
        store.restore(step_for(part, target=name, overwrites=True), facts, begun_before=True)
    assert running.value.specific_code == "recovery_running"
    assert failing.snapshots(name) == []
    time.sleep(3.0)


@pytest.fixture(scope="session")
def without_url_recovery(
    account: Azurite | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    yield from start_stand_in(tmp_path_factory.mktemp("qdrant-no-url"), account, "--no-url-recovery")


@pytest.fixture(scope="session")
def without_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that does not trust the storage's certificate, and so cannot fetch from it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            patch.delenv(name, raising=False)
        started = start_stand_in(tmp_path_factory.mktemp("qdrant-no-trust"), None)
        running = next(started)
    yield running
    next(started, None)


@pytest.mark.parametrize("kind", ["without_url_recovery", "without_certificate"])
def test_what_the_server_cannot_fetch_is_uploaded_and_the_uploaded_file_removed(
    kind: str, storage: Storage, request: pytest.FixtureRequest
) -> None:
    other: Server = request.getfixturevalue(kind)
    names = naming(other)
    named: Naming = next(names)
    with open_store(other, storage) as store:
        name = other.create(named(), 300, fat=2_000)
        part = store.back_up(request_for(other, name))
        facts = set_of(store, part)
        evidence = store.restore(step_for(part, target=(target := named())), facts)
        assert [one["method"] for one in evidence["recovered"]] == ["upload"]
        assert other.points(target) == other.points(name)
        assert other.snapshots(target) == []
    next(names, None)


def test_what_the_server_can_fetch_is_not_uploaded(
    failing: Server, store: QdrantStore, named: Naming
) -> None:
    part = store.back_up(request_for(failing, failing.create(named(), 3)))
    evidence = store.restore(step_for(part, target=named()), set_of(store, part))
    assert [one["method"] for one in evidence["recovered"]] == ["url"]


def test_the_signature_in_a_servers_answer_reaches_no_error(
    failing: Server, storage: Storage, named: Naming
) -> None:
    missing = BlobRef(container="data", name="missing", size=1, etag="x", sha256="0" * 64)
    with pytest.raises(ResourceNotFoundError):
        storage.client("data", "missing").get_blob_properties()
    url = storage.read_url(missing, 60)
    signature = url.split("sig=")[1].split("&")[0]
    body = {"location": url}
    with open_store(failing, storage) as store, pytest.raises(QdrantError) as refused:
        store._peers().first.send("PUT", "collections", named(), "snapshots", "recover", body=body)
    assert refused.value.specific_code == "storage_unreachable_from_server"
    assert "missing?(hidden)" in str(refused.value)
    assert signature not in str(refused.value)


def test_progress_that_raises_stops_the_backup_and_leaves_nothing(
    failing: Server, store: QdrantStore, storage: Storage, named: Naming
) -> None:
    class StopError(Exception):
        pass

    def stop(_: int) -> None:
        raise StopError

    name = failing.create(named(), 10)
    request = request_for(failing, name)
    with pytest.raises(StopError):
        store.back_up(request, stop)
    assert failing.snapshots(name) == []
    assert blobs_below(storage, request.prefix) == []


def test_time_is_taken_from_the_clock_that_is_passed_in(
    failing: Server, store: QdrantStore, named: Naming
) -> None:
    before = SystemClock().now()
    part = store.back_up(request_for(failing, failing.create(named(), 1)))
    assert before <= part.started_at <= part.finished_at <= SystemClock().now()
