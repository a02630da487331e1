"""One run at a time: acquired, kept by beats, taken over from the dead, lost loudly."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.catalogue.locks import HeldLock
from shared.clock import SystemClock
from shared.errors import ConflictError, IntegrityError, LockedError, UnreachableError
from shared.model.runs import DEAD_AFTER, Lock, State
from tests.stores.blob.support import Proxy, SetClock
from tests.stores.catalogue import samples

NAME = "sql-1/OctopusDB/log"
NEVER = 3600.0  # seconds between beats, so that a test beats itself


def hold_for_a_moment(catalogue: Catalogue, run_id: str) -> None:
    with catalogue.locks.hold(NAME, run_id, NEVER):
        pass


def stored(storage: Storage) -> Lock:
    return Lock.model_validate(documents.read(storage, "state", paths.lock(NAME)).value)


def test_a_lock_is_held_while_the_block_works_and_then_released(
    catalogue: Catalogue, storage: Storage
) -> None:
    with catalogue.locks.hold(NAME, "run-1") as held:
        held.check()
        assert not stored(storage).released
        with pytest.raises(LockedError, match="Run run-1 works on") as refused:
            hold_for_a_moment(catalogue, "run-2")
        assert refused.value.retryable
    assert stored(storage).released
    with catalogue.locks.hold(NAME, "run-2") as held:
        held.check()


def test_other_names_are_other_locks(catalogue: Catalogue) -> None:
    with (
        catalogue.locks.hold(NAME, "run-1") as one,
        catalogue.locks.hold("sql-1/OctopusDB/data", "run-2") as other,
        catalogue.locks.hold("é/../\"'/" + "x" * 255, "run-3") as third,
    ):
        for held in (one, other, third):
            held.check()


def test_an_error_in_the_block_releases_the_lock_and_stays_the_error(
    catalogue: Catalogue, storage: Storage
) -> None:
    with pytest.raises(ZeroDivisionError), catalogue.locks.hold(NAME, "run-1"):
        raise ZeroDivisionError
    assert stored(storage).released


def test_fencing_numbers_only_grow(catalogue: Catalogue, clock: SetClock) -> None:
    numbers = []
    for round_ in range(4):
        with catalogue.locks.hold(NAME, f"run-{round_ % 2}", NEVER) as held:
            numbers.append(held.fencing)
            held.beat()
        clock.pass_by(hours=1)
    assert numbers == [1, 2, 3, 4]


def test_a_holder_that_beats_lives_however_long_it_works(catalogue: Catalogue, clock: SetClock) -> None:
    with catalogue.locks.hold(NAME, "run-1", NEVER) as held:
        for _ in range(5):
            clock.pass_by(minutes=8)
            held.beat()
            held.check()
            with pytest.raises(LockedError):
                hold_for_a_moment(catalogue, "run-2")


def test_the_lock_of_a_dead_holder_is_taken_over_and_the_dead_one_finds_out(
    catalogue: Catalogue, clock: SetClock, storage: Storage
) -> None:
    with catalogue.locks.hold(NAME, "run-1", NEVER) as dead:
        clock.pass_by(seconds=DEAD_AFTER.total_seconds())
        with pytest.raises(LockedError):
            hold_for_a_moment(catalogue, "run-2")
        clock.pass_by(seconds=1)
        with catalogue.locks.hold(NAME, "run-2", NEVER) as held:
            assert held.fencing == dead.fencing + 1
            dead.beat()
            with pytest.raises(ConflictError, match="another holder took it over") as lost:
                dead.check()
            assert not lost.value.retryable
            held.check()
            dead.release()
            assert stored(storage).run_id == "run-2"
            assert not stored(storage).released, "a lock that is lost is not ours to release"
            held.check()


def test_the_lock_of_a_run_that_has_ended_is_open_at_once(catalogue: Catalogue) -> None:
    ended = samples.run("run-1", state=State.FAILED)
    catalogue.runs.create(ended)
    with (
        catalogue.locks.hold(NAME, ended.id, NEVER) as forgotten,  # its process is gone, its lock is not
        catalogue.locks.hold(NAME, "run-2", NEVER) as held,
    ):
        held.check()
        forgotten.beat()
        with pytest.raises(ConflictError):
            forgotten.check()


def test_a_holder_that_cannot_beat_stops_before_another_may_take_over(
    troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    catalogue = Catalogue(troubled, clock)
    with catalogue.locks.hold(NAME, "run-1", NEVER) as held:
        proxy.answer(lambda request: request.writes_document, 503, "ServerBusy", times=999)
        clock.pass_by(minutes=8)
        held.beat()
        held.check()
        clock.pass_by(minutes=1, seconds=1)
        held.beat()
        with pytest.raises(ConflictError, match="heartbeat could not be written"):
            held.check()
        with pytest.raises(LockedError):
            hold_for_a_moment(catalogue, "run-2")


def test_storage_that_comes_back_in_time_leaves_the_lock_with_its_holder(
    troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    with Catalogue(troubled, clock).locks.hold(NAME, "run-1", NEVER) as held:
        proxy.answer(lambda request: request.writes_document, 503, "ServerBusy", times=3)
        clock.pass_by(minutes=5)
        held.beat()
        clock.pass_by(minutes=3)
        held.beat()
        clock.pass_by(minutes=8)
        held.check()


def test_a_beat_whose_reply_was_lost_is_not_a_lost_lock(
    troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    with Catalogue(troubled, clock).locks.hold(NAME, "run-1", NEVER) as held:
        proxy.lose_reply(lambda request: request.writes_document)
        held.beat()
        held.beat()
        held.check()


def test_a_repeated_run_is_not_locked_out_by_itself_and_its_earlier_holder_must_stop(
    catalogue: Catalogue,
) -> None:
    with (
        catalogue.locks.hold(NAME, "run-1", NEVER) as earlier,
        catalogue.locks.hold(NAME, "run-1", NEVER) as later,
    ):
        assert later.fencing > earlier.fencing
        earlier.beat()
        with pytest.raises(ConflictError):
            earlier.check()
        later.beat()
        later.check()


def test_storage_that_does_not_answer_gives_no_lock(troubled: Storage, proxy: Proxy, clock: SetClock) -> None:
    proxy.answer(lambda request: request.writes_document, 503, "ServerBusy", times=999)
    with pytest.raises(UnreachableError):
        hold_for_a_moment(Catalogue(troubled, clock), "run-1")


def test_a_lock_that_cannot_be_understood_is_not_taken(catalogue: Catalogue, storage: Storage) -> None:
    storage.client("state", paths.lock(NAME)).upload_blob(b'{"schema": 9}')
    with pytest.raises(IntegrityError, match="schema 9"):
        hold_for_a_moment(catalogue, "run-1")


def test_the_thread_beats_by_itself_and_ends_with_the_block(storage: Storage) -> None:
    with Catalogue(storage, SystemClock()).locks.hold(NAME, "run-1", 0.02):
        first = stored(storage).heartbeat_at
        deadline = time.monotonic() + 10
        while stored(storage).heartbeat_at == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stored(storage).heartbeat_at > first
    assert not [thread for thread in threading.enumerate() if thread.name == f"lock {NAME}"]


@pytest.mark.parametrize("seed", range(8))
def test_of_two_that_want_a_lock_at_the_same_time_exactly_one_gets_it(storage: Storage, seed: int) -> None:
    locks = Catalogue(storage, SystemClock()).locks
    if seed % 2:  # half of the races for a lock that was held before
        with locks.hold(NAME, "run-0"):
            pass
    together, decided = threading.Barrier(2), threading.Barrier(2)

    def race(run_id: str) -> HeldLock | None:
        together.wait()
        with ExitStack() as stack:
            try:
                held = stack.enter_context(locks.hold(NAME, run_id, 0.01))
            except LockedError:
                held = None
            decided.wait()  # the winner holds it until the other has been told
            if held:
                held.check()
        return held

    with ThreadPoolExecutor(2) as pool:
        winners = [held for held in pool.map(race, ["run-1", "run-2"]) if held]
    assert len(winners) == 1
    assert winners[0].fencing == 1 + seed % 2
