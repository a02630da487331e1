"""Runs are changed by one attempt at a time; slots are claimed by one run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.clock import SystemClock
from shared.errors import AlreadyExistsError, ConflictError, IntegrityError, NotFoundError
from shared.model.runs import Run, RunKind, State, StepState
from tests.stores.blob.support import Proxy, SetClock
from tests.stores.catalogue.samples import START, claim, run, ulid_at


def titled(title: str, one: Run | None = None) -> Run:
    return (one or run()).model_copy(update={"title": title})


def test_a_run_is_found_by_its_kind_or_by_its_id_alone(catalogue: Catalogue) -> None:
    catalogue.runs.create(run())
    restore = run("run-2", kind=RunKind.RESTORE)
    catalogue.runs.create(restore)
    assert catalogue.runs.get(RunKind.BACKUP, "run-1") == run()
    assert catalogue.runs.find("run-2") == restore


def test_a_run_is_created_once(catalogue: Catalogue) -> None:
    catalogue.runs.create(run())
    with pytest.raises(AlreadyExistsError):
        catalogue.runs.create(run())


@pytest.mark.parametrize("run_id", ["", "none", "../../locks/x", "é" * 3000])
def test_an_unknown_run_is_not_found(catalogue: Catalogue, run_id: str) -> None:
    with pytest.raises(NotFoundError, match="no run"):
        catalogue.runs.get(RunKind.BACKUP, run_id)
    with pytest.raises(NotFoundError, match="no run"):
        catalogue.runs.find(run_id)
    with pytest.raises(NotFoundError, match="no run"):
        catalogue.runs.update(RunKind.BACKUP, run_id, 1, lambda old: old)


def test_a_run_of_a_newer_version_is_left_alone(catalogue: Catalogue, storage: Storage) -> None:
    storage.client("state", paths.run(RunKind.BACKUP, "run-1")).upload_blob(b'{"schema": 2}')
    with pytest.raises(IntegrityError, match="schema 2"):
        catalogue.runs.update(RunKind.BACKUP, "run-1", 1, lambda old: old)


def test_the_newest_runs_of_a_kind_come_first_however_old_they_are(
    catalogue: Catalogue, clock: SetClock
) -> None:
    days = (0, 1, 20, 700)
    for ago in days:
        moment = clock.now() - timedelta(days=ago)
        catalogue.runs.create(run(ulid_at(moment), at=moment))
    catalogue.runs.create(run(ulid_at(clock.now()), kind=RunKind.RESTORE))

    def ages(limit: int) -> list[int]:
        return [(clock.now() - one.started_at).days for one in catalogue.runs.recent(RunKind.BACKUP, limit)]

    assert ages(1) == [0]
    assert ages(3) == [0, 1, 20]
    assert ages(9) == list(days)
    assert catalogue.runs.recent(RunKind.RECOVERY_POINT, 5) == []


def test_a_change_is_written_and_returned(catalogue: Catalogue) -> None:
    catalogue.runs.create(run())
    changed = catalogue.runs.update(RunKind.BACKUP, "run-1", 1, lambda old: titled("x", old))
    assert changed == titled("x") == catalogue.runs.get(RunKind.BACKUP, "run-1")


def test_a_change_whose_reply_was_lost_is_made_once(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    catalogue.runs.create(run())
    proxy.lose_reply(lambda request: request.writes_document)
    more = Catalogue(troubled, clock).runs
    more.update(RunKind.BACKUP, "run-1", 1, lambda old: titled(f"{old.title}, once more", old))
    assert catalogue.runs.get(RunKind.BACKUP, "run-1").title == "Log backup, once more"


def test_a_zombie_of_an_earlier_attempt_is_refused_and_told_not_to_try_again(catalogue: Catalogue) -> None:
    catalogue.runs.create(run())
    catalogue.runs.update(RunKind.BACKUP, "run-1", 2, lambda old: old.model_copy(update={"attempt": 2}))
    with pytest.raises(ConflictError, match="attempt 1 must stop") as refused:
        catalogue.runs.update(RunKind.BACKUP, "run-1", 1, lambda _: titled("zombie"))
    assert not refused.value.retryable
    assert catalogue.runs.get(RunKind.BACKUP, "run-1").title == "Log backup"


def test_activities_that_change_a_run_at_the_same_time_all_succeed(storage: Storage) -> None:
    runs = Catalogue(storage, SystemClock()).runs
    runs.create(run())

    def add(number: int) -> None:
        step = StepState(id=str(number), title="", state=State.SUCCEEDED)
        runs.update(
            RunKind.BACKUP, "run-1", 1, lambda old: old.model_copy(update={"steps": (*old.steps, step)})
        )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(18)))
    steps = runs.get(RunKind.BACKUP, "run-1").steps
    assert sorted(int(step.id) for step in steps) == list(range(18))


def test_a_change_that_always_comes_too_late_gives_up(catalogue: Catalogue) -> None:
    catalogue.runs.create(run())
    tries = 0

    def overtaken(old: Run) -> Run:
        nonlocal tries
        tries += 1
        if tries <= 20:
            catalogue.runs.update(RunKind.BACKUP, "run-1", 1, lambda now: titled(str(tries), now))
        return old

    with pytest.raises(ConflictError, match="20 times") as failed:
        catalogue.runs.update(RunKind.BACKUP, "run-1", 1, overtaken)
    assert failed.value.retryable


def test_finished_parts_are_kept_under_any_key(catalogue: Catalogue) -> None:
    keys = ["7/a", "7/../b", "é\U0001f600/x", "c" * 255, ""]
    for key in keys:
        catalogue.runs.save_part("run-1", key, {"done": False})
        catalogue.runs.save_part("run-1", key, {"done": key})
    catalogue.runs.save_part("run-10", "other", {})
    assert catalogue.runs.parts("run-1") == {key: {"done": key} for key in keys}
    assert all(catalogue.runs.part("run-1", key) == {"done": key} for key in keys)


def test_a_part_that_is_not_there_is_none_or_an_error(catalogue: Catalogue) -> None:
    assert catalogue.runs.find_part("run-1", "x") is None
    assert catalogue.runs.parts("run-1") == {}
    with pytest.raises(NotFoundError):
        catalogue.runs.part("run-1", "x")


def test_a_slot_is_claimed_once(catalogue: Catalogue) -> None:
    assert catalogue.claims.get("sql_log", START) is None
    assert catalogue.claims.take(claim("run-1"), None)
    assert not catalogue.claims.take(claim("run-2"), None)
    taken = catalogue.claims.get("sql_log", START)
    assert taken is not None
    assert taken[0] == claim("run-1")


def test_a_claim_is_taken_over_by_whoever_has_seen_it_last(catalogue: Catalogue) -> None:
    catalogue.claims.take(claim(), None)
    taken = catalogue.claims.get("sql_log", START)
    assert taken is not None
    assert catalogue.claims.take(claim(attempt=2), taken[1])
    assert not catalogue.claims.take(claim(attempt=2), taken[1])


def test_a_claim_whose_reply_was_lost_is_ours(troubled: Storage, proxy: Proxy, clock: SetClock) -> None:
    proxy.lose_reply(lambda request: request.writes_document)
    assert Catalogue(troubled, clock).claims.take(claim(), None)
    assert len(proxy.seen) > 2, "the proxy made no trouble"


@pytest.mark.parametrize("seed", range(5))
def test_of_two_that_claim_one_slot_at_the_same_time_exactly_one_wins(
    catalogue: Catalogue, seed: int
) -> None:
    slot = START + timedelta(minutes=seed)
    together = threading.Barrier(2)

    def take(run_id: str) -> bool:
        together.wait()
        return catalogue.claims.take(claim(run_id, slot=slot), None)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take, ["run-1", "run-2"])) == [False, True]


def test_an_idempotency_key_stands_for_its_first_run_for_ever(catalogue: Catalogue) -> None:
    for key in ("backup/k", "backup/../k", "é" * 500):
        assert catalogue.claims.run_for_key(key, "run-1") == "run-1"
        assert catalogue.claims.run_for_key(key, "run-2") == "run-1"
    assert catalogue.claims.run_for_key("restore/k", "run-2") == "run-2"


def test_a_report_is_kept_once_per_attempt(catalogue: Catalogue, storage: Storage) -> None:
    catalogue.reports.save("run-1", 1, {"passed": False})
    catalogue.reports.save("run-1", 1, {"passed": True})
    catalogue.reports.save("run-1", 2, {"passed": True})
    kept = [documents.read(storage, "catalogue", f"reports/run-1/{attempt}.json").value for attempt in (1, 2)]
    assert kept == [{"passed": False}, {"passed": True}]
