"""Local times of a server whose clock is changed, and where a roll-forward may stop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.planning.chains import Chain, NoChain, ToLatest, ToTime, chain
from shared.planning.zones import clock_changes
from tests.unit.planning.world import hints

SUMMER_ENDS = datetime(2026, 10, 25, 1, tzinfo=UTC)
"""In Berlin it is 03:00 then, and 02:00 again: the hours before and after have the same local times."""

SUMMER_BEGINS = datetime(2026, 3, 29, 1, tzinfo=UTC)
FULL = hints()[0]


def offset(time: datetime, change: datetime) -> int:
    """Minutes that Berlin is ahead of UTC around a change."""
    later, earlier = (60, 120) if change == SUMMER_ENDS else (120, 60)
    return later if time >= change else earlier


def backups(change: datetime, every: timedelta, around: int = 16) -> list[SqlHint]:
    """A full and a log after each interval, around a change of the clock; every log takes a second."""
    first = change - every * around
    logs = (taken(Kind.LOG, number, first + every * number, change) for number in range(1, 2 * around))
    return [taken(Kind.FULL, 0, first, change), *logs]


def taken(kind: Kind, number: int, when: datetime, change: datetime, **changed: Any) -> SqlHint:
    values: dict[str, Any] = {
        "id": f"{kind}-{number}",
        "kind": kind,
        "backup_set_uuid": f"set-{number}",
        "first_lsn": 100 * (number - 1) if kind is Kind.LOG else 0,
        "last_lsn": 100 * number,
        "differential_base_guid": None,
        "started_at": when,
        "finished_at": when + timedelta(seconds=1),
        "utc_offset_minutes": offset(when, change),
    }
    return FULL.model_copy(update=values | changed)


def fulls(change: datetime, every: timedelta, hours: int) -> list[SqlHint]:
    """Full backups once an hour, ten minutes after it, among the logs of ``backups``."""
    first = change - every * 12
    times = [change + timedelta(minutes=60 * hour + 10) for hour in range(-hours, hours)]
    return [
        taken(Kind.FULL, 1000 + number, time, change, last_lsn=int(100 * ((time - first) / every)))
        for number, time in enumerate(times)
        if time > first
    ]


def moved(made: list[SqlHint], by: timedelta, change: datetime) -> list[SqlHint]:
    """The same backups, taken so much later."""
    return [
        one.model_copy(
            update={
                "started_at": one.started_at + by,
                "finished_at": one.finished_at + by,
                "utc_offset_minutes": offset(one.started_at + by, change),
            }
        )
        for one in made
    ]


def found(change: datetime, minutes: float, every: int = 15) -> Chain | NoChain:
    """The chain to an instant so many minutes after a change."""
    return chain(backups(change, timedelta(minutes=every)), ToTime(change + timedelta(minutes=minutes)))


def local(chained: Chain, backup: SqlHint) -> datetime:
    """The stop of a chain as it is written for a backup."""
    assert chained.stop.at is not None
    return chained.stop.at + timedelta(minutes=chained.local[backup.id])


def test_a_stop_is_written_with_the_offset_that_was_recorded_then_not_with_that_of_now() -> None:
    before, after = found(SUMMER_ENDS, -100), found(SUMMER_ENDS, 100)
    assert isinstance(before, Chain)
    assert isinstance(after, Chain)
    assert before.local[before.backups[-1].id] == 120
    assert after.local[after.backups[-1].id] == 60


def test_a_time_inside_the_repeated_hour_is_converted_with_the_recorded_offset() -> None:
    first, second = found(SUMMER_ENDS, -40), found(SUMMER_ENDS, 20)
    assert isinstance(first, Chain)
    assert isinstance(second, Chain)
    assert local(first, first.backups[-1]).strftime("%H:%M") == "02:20"
    assert local(second, second.backups[-1]).strftime("%H:%M") == "02:20"
    assert first.stop.at != second.stop.at


def test_no_log_before_the_last_one_is_stopped_by_the_first_of_the_two_hours() -> None:
    second = found(SUMMER_ENDS, 20)
    assert isinstance(second, Chain)
    for one in second.logs[:-1]:
        newest_record = one.started_at + timedelta(minutes=one.utc_offset_minutes or 0)
        assert local(second, one) > newest_record


@pytest.mark.parametrize("minutes", [-29, -1, 0, 1, 29])
def test_a_time_in_the_log_in_which_the_clock_was_set_back_is_refused(minutes: int) -> None:
    shifted = moved(backups(SUMMER_ENDS, timedelta(minutes=60)), timedelta(minutes=30), SUMMER_ENDS)
    told = chain(shifted, ToTime(SUMMER_ENDS + timedelta(minutes=minutes)))
    assert isinstance(told, NoChain)
    assert told.code == "target_in_clock_change"
    assert "UTC+2 h to UTC+1 h" in told.reason
    assert told.before is not None
    assert told.after is not None
    assert isinstance(chain(shifted, ToTime(told.before)), Chain)
    assert isinstance(chain(shifted, ToTime(told.after)), Chain)


def test_where_the_clock_is_set_forward_only_the_unknown_minutes_are_refused() -> None:
    every = timedelta(minutes=60)
    made = backups(SUMMER_BEGINS, every)
    assert isinstance(chain(made, ToTime(SUMMER_BEGINS - timedelta(minutes=30))), NoChain)
    after = chain(made, ToTime(SUMMER_BEGINS + timedelta(minutes=2)))
    assert isinstance(after, Chain)
    assert after.local[after.backups[-1].id] == 120
    before = chain(made, ToTime(SUMMER_BEGINS - timedelta(minutes=61)))
    assert isinstance(before, Chain)
    assert before.local[before.backups[-1].id] == 60


def test_a_refusal_names_no_instant_that_cannot_be_restored_either() -> None:
    made = backups(SUMMER_ENDS, timedelta(minutes=15), around=2)
    told = chain(made, ToTime(SUMMER_ENDS - timedelta(minutes=10)))
    assert isinstance(told, NoChain)
    assert (told.before, told.after) == (None, None)


def test_backups_that_recorded_no_offset_and_those_of_another_server_tell_nothing() -> None:
    silent = [one.model_copy(update={"utc_offset_minutes": None}) for one in hints()]
    assert clock_changes(silent, "sql") == []
    told = chain(silent, ToTime(silent[-1].started_at))
    assert isinstance(told, Chain)
    assert told.local == {}
    elsewhere = [*hints(), FULL.model_copy(update={"id": "other", "server": "b", "utc_offset_minutes": -300})]
    assert clock_changes(elsewhere, "sql") == []


def test_a_chain_without_a_time_needs_no_offset() -> None:
    told = chain(hints(), ToLatest())
    assert isinstance(told, Chain)
    assert told.local == {}


BUSY: dict[str, Callable[[int], bool]] = {
    "always": lambda minute: True,
    "until the change": lambda minute: minute < 0,
    "since the change": lambda minute: minute >= 0,
    "not around the change": lambda minute: abs(minute) > 40,
    "around the change": lambda minute: abs(minute) <= 70,
}
"""When somebody commits, once a minute, by the minutes since a change of the clock."""


def ends_where_it_was_meant_to(
    change: datetime, every: int, shift: int, minute: int, busy: str, hours: int
) -> None:
    """What the server does: it applies records until one whose local time is later than the stop's."""
    step = timedelta(minutes=every)
    taken_ = backups(change, step, around=12) + fulls(change, step, hours)
    made = moved(taken_, timedelta(minutes=shift % every), change)
    target = change + timedelta(minutes=minute)
    told = chain(made, ToTime(target))
    if isinstance(told, NoChain):
        assert told.code == "target_in_clock_change" or abs(target - change) > step * 10
        return
    minutes = [one for one in range(-12 * every, 12 * every) if BUSY[busy](one)]
    commits = [change + timedelta(minutes=one, seconds=30) for one in minutes]
    restored: list[datetime] = []
    reached = told.backups[0].started_at
    for log in told.logs:
        stop = local(told, log)
        for commit in [one for one in commits if reached < one <= log.started_at]:
            if commit + timedelta(minutes=offset(commit, change)) > stop:
                break
            restored.append(commit)
        reached = log.started_at
    assert restored == [one for one in commits if told.backups[0].started_at < one <= target]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from([SUMMER_ENDS, SUMMER_BEGINS]),
    st.sampled_from([5, 15, 60, 240]),
    st.integers(0, 59),
    st.integers(-330, 330),
    st.sampled_from(sorted(BUSY)),
    st.sampled_from([0, 5]),
)
def test_a_server_that_stops_at_the_first_later_local_time_ends_where_it_was_meant_to(
    change: datetime, every: int, shift: int, minute: int, busy: str, hours: int
) -> None:
    ends_where_it_was_meant_to(change, every, shift, minute, busy, hours)


@pytest.mark.parametrize("change", [SUMMER_ENDS, SUMMER_BEGINS])
@pytest.mark.parametrize("busy", sorted(BUSY))
def test_so_it_does_in_long_logs_around_the_change(change: datetime, busy: str) -> None:
    for minute in range(-120, 121, 10):
        ends_where_it_was_meant_to(change, 240, 5, minute, busy, 5)
