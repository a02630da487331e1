"""The chain algorithm against a model of SQL Server that tries everything."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.backups import Kind
from shared.planning.chains import (
    Chain,
    NoChain,
    ToLatest,
    ToLogEnd,
    ToLsn,
    ToTime,
    chain,
    restorable_windows,
)
from tests.unit.planning.sqlserver_model import Database, Restoring, Stop, every_restore, replay

FATES = st.sampled_from(["kept"] * 6 + ["lost", "damaged"])
SELDOM = st.sampled_from([False] * 5 + [True])
WORK = st.tuples(st.just("work"), st.integers(1, 3), SELDOM)
LOG = st.tuples(st.just("log"), FATES, SELDOM)
FULL = st.tuples(st.just("full"), FATES, SELDOM)
DIFFERENTIAL = st.tuples(st.just("differential"), FATES)
RESTORED = st.tuples(st.just("restored_to"), st.floats(0.3, 1))
OPERATIONS = st.one_of(WORK, WORK, WORK, LOG, LOG, LOG, LOG, FULL, DIFFERENTIAL, RESTORED)
MANY = settings(max_examples=250, deadline=None, derandomize=True)


@st.composite
def lives(draw: st.DrawFn) -> Database:
    """A database with up to 16 operations behind it."""
    database = Database()
    database.work(1)
    database.full("kept")
    database.work(2)
    for name, *arguments in draw(st.lists(OPERATIONS, min_size=7, max_size=16)):
        getattr(database, name)(*arguments)
    database.work(1)
    return database


@st.composite
def lives_and_instants(draw: st.DrawFn) -> tuple[Database, datetime]:
    """An instant at, shortly after or well after an operation."""
    database = draw(lives())
    begun, _ = draw(st.sampled_from(database.past))
    return database, begun + timedelta(seconds=draw(st.sampled_from([0, 2, 3, 6])))


def reached(database: Database, found: Chain) -> Restoring:
    return replay(database, found.backups, Stop(at=found.stop.at, lsn=_lsn(found)))


def _lsn(found: Chain) -> int | None:
    return int(found.stop.mark.removeprefix("lsn:")) if found.stop.mark else None


@MANY
@given(lives(), st.integers(0, 200))
def test_a_chain_to_a_time_is_legal_and_brings_back_what_was_there_then(
    database: Database, tick: int
) -> None:
    time = database.past[0][0] + timedelta(seconds=tick)
    found = chain(database.backups, ToTime(time))
    possible = [
        used
        for used, state in every_restore(database, Stop(at=time))
        if state.stopped and used[-1].first_recovery_fork_guid == used[-1].last_recovery_fork_guid
    ]
    if isinstance(found, Chain):
        state = reached(database, found)
        assert state.stopped
        assert state.rows == database.rows_at(time)
    else:
        assert possible == []


@MANY
@given(lives(), st.data())
def test_a_chain_to_a_record_is_legal_and_ends_with_that_record(
    database: Database, data: st.DataObject
) -> None:
    recorded = [
        (log, row) for log in database.backups if log.kind is Kind.LOG for row in database.held[log.id]
    ]
    if not recorded:
        return
    log, row = data.draw(st.sampled_from(recorded))
    found = chain(database.backups, ToLsn(row.lsn, log_backup_id=log.id))
    possible = [
        used
        for used, state in every_restore(database, Stop(lsn=row.lsn))
        if state.stopped and state.rows[-1] == row
    ]
    if isinstance(found, Chain):
        assert reached(database, found).rows[-1] == row
    else:
        assert possible == []


@MANY
@given(lives(), st.data())
def test_a_chain_to_the_end_of_a_log_backup_holds_exactly_its_rows(
    database: Database, data: st.DataObject
) -> None:
    logs = [backup for backup in database.backups if backup.kind is Kind.LOG]
    if not logs:
        return
    log = data.draw(st.sampled_from(logs))
    found = chain(database.backups, ToLogEnd(log.id))
    places = {(state.fork, state.cursor) for _, state in every_restore(database, Stop())}
    if isinstance(found, Chain):
        assert not found.stop_inside
        assert reached(database, found).rows == database.rows_at(log.started_at)
    else:
        assert (log.last_recovery_fork_guid, log.last_lsn) not in places


@MANY
@given(lives())
def test_the_latest_chain_reaches_the_newest_place_that_any_sequence_reaches(database: Database) -> None:
    found = chain(database.backups, ToLatest())
    states = [state for _, state in every_restore(database, Stop())]
    if not states:
        assert isinstance(found, NoChain)
        assert found.code == "no_full_backup"
        return
    assert isinstance(found, Chain)
    state = reached(database, found)
    on_fork = [other.cursor for other in states if other.fork == state.fork]
    assert state.cursor == max(on_fork)
    newer = {
        backup.last_recovery_fork_guid
        for backup in database.backups
        if backup.finished_at > found.backups[-1].finished_at
    } - {state.fork}
    assert not any(other.fork in newer and _ends_later(database, other, found) for other in states)


def _ends_later(database: Database, other: Restoring, found: Chain) -> bool:
    ends = [
        backup.finished_at
        for backup in database.backups
        if not backup.is_damaged
        and (backup.last_recovery_fork_guid, backup.last_lsn) == (other.fork, other.cursor)
    ]
    return bool(ends) and min(ends) > found.backups[-1].finished_at


@MANY
@given(lives_and_instants())
def test_the_differential_is_the_newest_usable_one_of_the_newest_usable_full(
    life: tuple[Database, datetime],
) -> None:
    database, time = life
    found = chain(database.backups, ToTime(time))
    if not isinstance(found, Chain):
        return
    possible = [
        used
        for used, state in every_restore(database, Stop(at=time))
        if state.stopped
        and used[-1].first_recovery_fork_guid == used[-1].last_recovery_fork_guid
        and state.rows == database.rows_at(time)
    ]
    assert found.full.finished_at == max(used[0].finished_at for used in possible)
    differentials = [
        used[1].finished_at
        for used in possible
        if used[0].id == found.full.id and used[1].kind is Kind.DIFFERENTIAL
    ]
    chosen = [found.differential.finished_at] if found.differential else []
    assert chosen == sorted(differentials)[-1:]


@MANY
@given(lives(), st.data())
def test_every_instant_of_a_restorable_window_can_be_restored(
    database: Database, data: st.DataObject
) -> None:
    windows = [window for window in restorable_windows(database.backups) if window.start < window.end]
    for window in windows:
        seconds = int((window.end - window.start).total_seconds())
        time = window.start + timedelta(seconds=data.draw(st.integers(0, seconds)))
        assert isinstance(chain(database.backups, ToTime(time)), Chain)


@MANY
@given(lives_and_instants())
def test_the_nearest_moments_of_a_refusal_can_be_restored(life: tuple[Database, datetime]) -> None:
    database, time = life
    found = chain(database.backups, ToTime(time))
    if isinstance(found, NoChain):
        for nearest in (found.before, found.after):
            assert nearest is None or isinstance(chain(database.backups, ToTime(nearest)), Chain)


@MANY
@given(lives(), st.randoms(use_true_random=False))
def test_the_order_in_which_backups_are_listed_does_not_matter(database: Database, random: Random) -> None:
    shuffled = list(database.backups)
    random.shuffle(shuffled)
    assert chain(shuffled, ToLatest()) == chain(database.backups, ToLatest())
