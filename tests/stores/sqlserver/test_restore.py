"""Restoring: to a mark, to the latest, to a time; side by side, in place, to a name that is gone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import new_ulid
from shared.errors import RefusedError, SqlServerError, TargetInTheWayError
from shared.model.backups import Kind
from shared.model.plans import Stop
from shared.stores.sqlserver.statements import quote_name
from shared.stores.sqlserver.store import SqlServerStore
from tests.stores.sqlserver.support import Chain, Database, mark_name

pytestmark = pytest.mark.real


def full_chain(store: SqlServerStore, database: Database, mark: str) -> Chain:
    """Full, log, differential, a log that holds the mark, and one after it; a row before each."""
    chain = Chain(store, database.name)
    database.add_episode("before the full")
    chain.take(Kind.FULL)
    database.add_episode("before the first log")
    chain.take(Kind.LOG)
    database.add_episode("before the differential")
    chain.take(Kind.DIFFERENTIAL)
    database.add_episode("before the mark")
    store.set_mark([database.name], mark, new_ulid(), "a test", "vectors")
    database.add_episode("after the mark")
    chain.take(Kind.LOG)
    database.add_episode("at the very end")
    chain.take(Kind.LOG)
    return chain


UP_TO_MARK = [
    "before the differential",
    "before the first log",
    "before the full",
    "before the mark",
    "the first",
]


def test_side_by_side_to_a_mark_brings_back_exactly_its_rows(
    store: SqlServerStore, database: Database
) -> None:
    mark = mark_name()
    chain = full_chain(store, database, mark)
    # The log before the differential is not needed, and the last one lies behind the mark.
    evidence = chain.restore(database.side(), Stop(mark=mark), leave_out=(1, 4))
    assert database.texts(database.side()) == UP_TO_MARK
    assert len(database.texts()) == len(UP_TO_MARK) + 2  # the source is as it was
    assert evidence[-2]["stop_reached"] is True
    assert evidence[-1]["state"] == "ONLINE"
    row = store.marker(database.side())
    assert row is not None
    assert row.mark_name == mark


def test_without_the_differential_the_logs_lead_to_the_same_rows(
    store: SqlServerStore, database: Database
) -> None:
    mark = mark_name()
    chain = full_chain(store, database, mark)
    evidence = chain.restore(database.side(), Stop(mark=mark), leave_out=(2, 4))
    assert database.texts(database.side()) == UP_TO_MARK
    assert [one.get("stop_reached") for one in evidence] == [None, None, True, None]


def test_latest_is_the_end_of_the_last_log(store: SqlServerStore, database: Database) -> None:
    chain = full_chain(store, database, mark_name())
    chain.restore(database.side(), leave_out=(1,))
    assert database.texts(database.side()) == database.texts()


def test_a_time_divides_the_rows_before_from_the_rows_after(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("before")
    time.sleep(0.6)
    middle = datetime.now(UTC)
    time.sleep(0.6)
    database.add_episode("after")
    chain.take(Kind.LOG)
    chain.restore(database.side(), Stop(at=middle))
    assert database.texts(database.side()) == ["before", "the first"]


def test_a_time_is_told_in_the_zone_of_the_server_that_made_the_backup(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("before")
    time.sleep(0.6)
    middle = datetime.now(UTC)
    time.sleep(0.6)
    database.add_episode("after")
    chain.take(Kind.LOG)
    full, log = chain.steps(database.side(), Stop(at=middle - timedelta(hours=5)))
    there = log.model_copy(update={"utc_offset_minutes": log.utc_offset_minutes + 300})
    run = new_ulid()
    store.restore(full, run_id=run)
    # Five hours earlier, in a zone that is five hours ahead: the same local time in the log.
    assert store.restore(there, run_id=run)["stop_reached"] is True
    store.recover(database.side())
    assert database.texts(database.side()) == ["before", "the first"]


def test_a_time_in_an_idle_night_is_reached_though_nothing_was_committed_since(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("in the evening")
    time.sleep(0.3)
    night = datetime.now(UTC)
    time.sleep(1.1)  # msdb keeps whole seconds of when a backup began
    chain.take(Kind.LOG)
    evidence = chain.restore(database.side(), Stop(at=night))
    assert database.texts(database.side()) == ["in the evening", "the first"]
    assert evidence[1]["stop_reached"] is False


def test_an_idle_night_is_forgiven_by_the_clock_of_the_server_that_made_the_backup(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("in the evening")
    time.sleep(0.3)
    night = datetime.now(UTC)
    time.sleep(1.1)
    chain.take(Kind.LOG)
    run = new_ulid()
    full, log = chain.steps(database.side(), Stop(at=night + timedelta(hours=5)))
    store.restore(full, run_id=run)
    there = log.model_copy(update={"utc_offset_minutes": log.utc_offset_minutes - 300})
    assert store.restore(there, run_id=run)["stop_reached"] is False


def test_a_time_after_the_last_log_is_not_reached_and_leaves_the_target_restoring(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("row")
    chain.take(Kind.LOG)
    run = new_ulid()
    full, log = chain.steps(database.side(), Stop(at=datetime.now(UTC) + timedelta(hours=1)))
    store.restore(full, run_id=run)
    for _ in range(2):  # repeating the step must not turn the failure into a success
        with pytest.raises(SqlServerError) as failed:
            store.restore(log, run_id=run)
        assert failed.value.specific_code == "stop_not_reached"
    assert store.inspect(database.side()).state_desc == "RESTORING"


def test_a_mark_that_is_not_in_the_logs_is_not_reached(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("row")
    chain.take(Kind.LOG)
    with pytest.raises(SqlServerError) as failed:
        chain.restore(database.side(), Stop(mark=mark_name()))
    assert failed.value.specific_code == "stop_not_reached"


def test_in_place_the_tail_is_taken_and_the_rows_of_the_mark_come_back(
    store: SqlServerStore, database: Database
) -> None:
    mark = mark_name()
    chain = full_chain(store, database, mark)
    files = store.inspect(database.name).files
    database.add_episode("only in the tail")
    tail = store.take_tail(chain.request(Kind.LOG))
    assert store.inspect(database.name).state_desc == "RESTORING"
    evidence = chain.restore(database.name, Stop(mark=mark), in_place=True, leave_out=(1, 4))
    assert database.texts() == UP_TO_MARK
    assert evidence[-1]["user_access"] == "MULTI_USER"
    assert store.inspect(database.name).files[0].physical_name == files[0].physical_name
    assert tail.facts.first_lsn == chain.taken[-1][2].facts.last_lsn


def test_a_tail_can_be_undone_before_anything_was_overwritten(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("only in the tail")
    request = chain.request(Kind.LOG)
    first = store.take_tail(request)
    assert store.take_tail(request).facts == first.facts
    assert store.recover(database.name)["user_access"] == "MULTI_USER"
    assert "only in the tail" in database.texts()


def test_the_tail_completes_the_chain(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    database.add_episode("only in the tail")
    request = chain.request(Kind.LOG)
    chain.taken.append((request.backup_id, Kind.LOG, store.take_tail(request)))
    chain.restore(database.side())
    assert database.texts(database.side()) == ["only in the tail", "the first"]


def test_a_tail_that_fails_opens_the_database_again(store: SqlServerStore, database: Database) -> None:
    with pytest.raises(SqlServerError) as failed:
        store.take_tail(Chain(store, database.name).request(Kind.LOG))
    assert failed.value.specific_code == "no_full_backup"
    state = store.inspect(database.name)
    assert (state.state_desc, state.user_access) == ("ONLINE", "MULTI_USER")


def test_after_a_total_loss_the_live_name_comes_back(store: SqlServerStore, database: Database) -> None:
    mark = mark_name()
    chain = full_chain(store, database, mark)
    database.admin.run(f"DROP DATABASE {quote_name(database.name)};")
    chain.restore(database.name, Stop(mark=mark), leave_out=(1, 4))
    assert database.texts() == UP_TO_MARK


def test_an_existing_database_is_never_overwritten_side_by_side(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    with pytest.raises(TargetInTheWayError, match="already exists"):
        chain.restore(database.name)
    assert database.texts() == ["the first"]


def test_in_place_without_the_tail_is_refused(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    with pytest.raises(TargetInTheWayError) as refused:
        chain.restore(database.name, in_place=True)
    assert refused.value.specific_code == "tail_missing"
    assert database.texts() == ["the first"]


def test_a_restore_that_another_run_began_is_left_alone(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(Kind.LOG)
    full, log = chain.steps(database.side())
    store.restore(full, run_id=new_ulid())
    for step in (full, log):
        with pytest.raises(TargetInTheWayError, match="did not begin"):
            store.restore(step, run_id=new_ulid())


def test_a_repeated_step_does_nothing_twice(store: SqlServerStore, database: Database) -> None:
    mark = mark_name()
    chain = full_chain(store, database, mark)
    run = new_ulid()
    steps = chain.steps(database.side(), Stop(mark=mark), leave_out=(1, 4))
    for step in steps:
        assert store.restore(step, run_id=run)["skipped"] is False
        again = store.restore(step, run_id=run)
        assert again["skipped"] is True
    assert again["stop_reached"] is True
    assert store.restore(steps[0], run_id=run)["skipped"] is True  # a run that forgot where it was
    assert store.recover(database.side())["skipped"] is False
    assert store.recover(database.side())["skipped"] is True
    assert database.texts(database.side()) == UP_TO_MARK


def test_a_log_before_its_full_backup_is_refused(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(Kind.LOG)
    _, log = chain.steps(database.side())
    with pytest.raises(RefusedError) as refused:
        store.restore(log, run_id=new_ulid())
    assert refused.value.specific_code == "target_not_restoring"


def test_a_missing_log_is_a_gap(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    for text in ("one", "two"):
        database.add_episode(text)
        chain.take(Kind.LOG)
    with pytest.raises(SqlServerError) as failed:
        chain.restore(database.side(), leave_out=(1,))
    assert failed.value.specific_code == "chain_gap"


def test_a_differential_on_a_foreign_full_backup_is_the_wrong_base(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(Kind.FULL)
    database.add_episode("row")
    chain.take(Kind.DIFFERENTIAL)
    with pytest.raises(SqlServerError) as failed:
        chain.restore(database.side(), leave_out=(1,))
    assert failed.value.specific_code == "wrong_base"


def test_a_recovered_target_takes_no_more_logs(store: SqlServerStore, database: Database) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(Kind.LOG)
    run = new_ulid()
    full, log = chain.steps(database.side())
    store.restore(full, run_id=run)
    store.recover(database.side())
    with pytest.raises(TargetInTheWayError, match="roll-forward has ended"):
        store.restore(log, run_id=run)


def test_a_backup_of_one_medium_is_restored_through_the_other(
    store: SqlServerStore, disk_store: SqlServerStore, database: Database
) -> None:
    taken = Chain(store, database.name)
    taken.take(Kind.FULL)
    Chain(disk_store, database.name, taken.taken).restore(database.side())
    assert database.texts(database.side()) == ["the first"]


def test_in_place_a_database_that_somebody_else_began_to_restore_is_refused(
    store: SqlServerStore, database: Database
) -> None:
    chain = Chain(store, database.name)
    chain.take(Kind.FULL)
    chain.take(Kind.FULL)
    database.add_episode("row")
    chain.take(Kind.LOG)
    first, second, log = chain.steps(database.name)
    planned = [first.backup_set_uuid, log.backup_set_uuid]
    store.take_tail(chain.request(Kind.LOG))
    run = new_ulid()
    store.restore(first, run_id=run, in_place=True, chain=planned)
    store.restore(second, run_id=new_ulid(), in_place=True)  # somebody else's, from another full backup
    with pytest.raises(TargetInTheWayError) as refused:
        store.restore(log, run_id=run, in_place=True, chain=planned)
    assert refused.value.specific_code == "foreign_restore"
    assert store.inspect(database.name).state_desc == "RESTORING"
