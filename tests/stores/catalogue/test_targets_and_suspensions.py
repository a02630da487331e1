"""Who restores to what: all targets or none, kept for a life, lost by the dead; and suspended timers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.blob.storage import Storage
from shared.catalogue import Catalogue
from shared.catalogue.suspensions import Suspension
from shared.clock import SystemClock
from shared.errors import ConflictError, LockedError
from shared.model.runs import Run, RunKind, State
from tests.stores.blob.support import SetClock
from tests.stores.catalogue import samples

DATABASE, OTHER = "database:OctopusDB", "database:Archive"
VECTORS = "collection:agent_1"
FIRST, SECOND = (samples.ulid_at(samples.START, low) for low in (1, 2))


def begun(catalogue: Catalogue, clock: SetClock, run_id: str) -> Run:
    now = clock.now()
    run = Run(
        id=run_id,
        kind=RunKind.RESTORE,
        title="Restore",
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
    )
    catalogue.runs.create(run)
    return run


def beat(catalogue: Catalogue, clock: SetClock, run: Run) -> None:
    catalogue.runs.update(
        run.kind, run.id, run.attempt, lambda old: old.model_copy(update={"heartbeat_at": clock.now()})
    )


def test_a_run_holds_all_of_its_targets_and_another_gets_none_of_them(
    catalogue: Catalogue, clock: SetClock
) -> None:
    begun(catalogue, clock, FIRST)
    number = catalogue.targets.hold(FIRST, 1, [DATABASE, VECTORS])
    with pytest.raises(LockedError, match=f"Restore {FIRST} works on collection:agent_1") as refused:
        catalogue.targets.hold(SECOND, 1, [OTHER, VECTORS])
    assert refused.value.as_dict()["run_id"] == FIRST
    assert not catalogue.targets.holds(SECOND), "not even the one that was free"
    assert catalogue.targets.hold(SECOND, 1, [OTHER]) > number


def test_case_does_not_tell_two_databases_apart(catalogue: Catalogue, clock: SetClock) -> None:
    begun(catalogue, clock, FIRST)
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    with pytest.raises(LockedError):
        catalogue.targets.hold(SECOND, 1, [DATABASE.upper()])


def test_the_same_attempt_keeps_its_number_and_a_later_one_gets_a_higher(
    catalogue: Catalogue, clock: SetClock
) -> None:
    begun(catalogue, clock, FIRST)
    number = catalogue.targets.hold(FIRST, 1, [DATABASE])
    assert catalogue.targets.hold(FIRST, 1, [DATABASE]) == number
    assert catalogue.targets.hold(FIRST, 2, [DATABASE]) > number


def test_targets_are_held_however_long_a_run_that_lives_takes(catalogue: Catalogue, clock: SetClock) -> None:
    run = begun(catalogue, clock, FIRST)
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    for _ in range(50):
        clock.pass_by(minutes=9)
        beat(catalogue, clock, run)
    with pytest.raises(LockedError):
        catalogue.targets.hold(SECOND, 1, [DATABASE])
    found = catalogue.targets.holder([DATABASE])
    assert found is not None
    assert found[1].run_id == FIRST
    assert catalogue.targets.holder([DATABASE], besides=FIRST) is None


def test_a_dead_run_loses_its_targets_for_good(catalogue: Catalogue, clock: SetClock) -> None:
    run = begun(catalogue, clock, FIRST)
    number = catalogue.targets.hold(FIRST, 1, [DATABASE])
    clock.pass_by(minutes=11)

    assert catalogue.targets.holder([DATABASE]) is None
    assert catalogue.targets.hold(SECOND, 1, [DATABASE, OTHER]) > number

    ended = catalogue.runs.find(FIRST)
    assert (ended.state, ended.error.code if ended.error else "") == (State.FAILED, "taken_over")
    assert SECOND in str(ended.error)
    with pytest.raises(ConflictError, match="attempt 1 must stop"):
        beat(catalogue, clock, run)  # it had only slept
    assert not catalogue.targets.holds(FIRST)


def test_a_run_that_was_never_written_down_has_ten_minutes(catalogue: Catalogue, clock: SetClock) -> None:
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    with pytest.raises(LockedError):
        catalogue.targets.hold(SECOND, 1, [DATABASE])
    clock.pass_by(minutes=11)
    catalogue.targets.hold(SECOND, 1, [DATABASE])


def test_what_has_ended_or_let_go_is_in_nobodys_way(catalogue: Catalogue, clock: SetClock) -> None:
    run = begun(catalogue, clock, FIRST)
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    catalogue.targets.let_go(FIRST)
    catalogue.targets.let_go(FIRST)
    catalogue.targets.hold(SECOND, 1, [DATABASE])
    catalogue.targets.let_go(SECOND)
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    end = {"state": State.SUCCEEDED}
    catalogue.runs.update(run.kind, run.id, 1, lambda old: old.model_copy(update=end))
    catalogue.targets.hold(SECOND, 1, [DATABASE])
    assert catalogue.runs.find(FIRST).state is State.SUCCEEDED, "what has ended well stays so"


def test_a_run_that_did_not_come_to_its_end_is_remembered_until_another_gets_a_target_of_it(
    catalogue: Catalogue, clock: SetClock
) -> None:
    begun(catalogue, clock, FIRST)
    catalogue.targets.hold(FIRST, 1, [DATABASE, VECTORS])
    catalogue.targets.let_go(FIRST, remember=True)
    assert (catalogue.targets.holds(FIRST), catalogue.targets.untouched_since(FIRST)) == (False, True)
    assert catalogue.targets.holder([DATABASE]) is None
    catalogue.targets.hold(SECOND, 1, [OTHER])
    assert catalogue.targets.untouched_since(FIRST)
    catalogue.targets.hold(FIRST, 1, [DATABASE, VECTORS])
    assert catalogue.targets.holds(FIRST)
    catalogue.targets.let_go(FIRST, remember=True)
    catalogue.targets.let_go(SECOND)
    catalogue.targets.hold(SECOND, 2, [VECTORS])
    assert not catalogue.targets.untouched_since(FIRST)


def test_it_is_not_remembered_for_ever(catalogue: Catalogue, clock: SetClock) -> None:
    catalogue.targets.hold(FIRST, 1, [DATABASE])
    catalogue.targets.let_go(FIRST, remember=True)
    clock.pass_by(days=31)
    catalogue.targets.hold(SECOND, 1, [OTHER])
    assert not catalogue.targets.untouched_since(FIRST)


def test_of_many_at_once_one_gets_it(storage: Storage) -> None:
    catalogue = Catalogue(storage, SystemClock())

    def one(number: int) -> bool:
        try:
            catalogue.targets.hold(samples.ulid_at(samples.START, number), 1, [DATABASE])
        except LockedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(1, 9))) == 1


# Suspensions.


def test_a_suspension_is_kept_found_listed_and_lifted(catalogue: Catalogue, clock: SetClock) -> None:
    database = Suspension(
        scope="sql-1/Octopus~2EDB", run_id=FIRST, since=clock.now(), what="backups", database="Octopus.DB"
    )
    vectors = Suspension(scope="qdrant", run_id=FIRST, since=clock.now(), what="recovery points")
    for one in (database, vectors):
        catalogue.suspensions.set(one)
    assert catalogue.suspensions.find("sql-1/Octopus~2EDB") == database
    assert catalogue.suspensions.all() == [vectors, database]
    for _ in range(2):
        catalogue.suspensions.lift("qdrant")
    assert catalogue.suspensions.all() == [database]
    assert catalogue.suspensions.find("qdrant") is None
