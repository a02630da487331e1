"""Which slots are due: the latest of each timer, unless its run succeeded, lives, or failed three times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidSettingsError
from shared.model.runs import State
from shared.planning.due import MOST_ATTEMPTS, Due, DueSlot, SlotStatus, due, latest_slot, next_slot

QUARTERS = "0 */15 * * * *"
NOW = datetime(2026, 10, 6, 1, 20, tzinfo=UTC)
SLOT = datetime(2026, 10, 6, 1, 15, tzinfo=UTC)

instants = st.timedeltas(timedelta(0), timedelta(days=365 * 35)).map(
    lambda since: datetime(2022, 1, 1, tzinfo=UTC) + since
)
schedules = st.one_of(
    st.sampled_from(["*/3 * * * * *", "0 0 1 * * *", "0 30 2 * JAN,jul Mon-Fri", "0 0 0 13 * 5"]),
    st.builds(
        "{} {} {} {} * {}".format,
        st.integers(0, 59),
        st.one_of(st.just("*"), st.integers(1, 30).map("*/{}".format)),
        st.one_of(st.just("*"), st.integers(0, 23), st.just("9-17")),
        st.one_of(st.just("*"), st.integers(1, 28)),
        st.one_of(st.just("*"), st.sampled_from(["0", "1-5", "SUN", "Sat"])),
    ),
)
statuses = st.builds(SlotStatus, instants, st.integers(1, 5), st.sampled_from(State), st.booleans())
repeatable = settings(derandomize=True, deadline=None, max_examples=60)
timers = st.dictionaries(st.sampled_from(["sql_full", "sql_log", "recovery_point"]), schedules, max_size=3)


def only(claim: SlotStatus | None, now: datetime = NOW) -> Due:
    return due({"sql_log": QUARTERS}, {"sql_log": claim} if claim else {}, now)


def test_a_slot_that_nobody_has_claimed_is_due_as_the_first_attempt() -> None:
    assert only(None) == Due((DueSlot("sql_log", SLOT, 1),), ())


def test_a_claim_of_an_earlier_slot_does_not_count_even_if_its_run_still_works() -> None:
    earlier = SlotStatus(SLOT - timedelta(minutes=15), 3, State.RUNNING)
    assert only(earlier).slots == (DueSlot("sql_log", SLOT, 1),)


def test_a_claim_of_a_later_slot_left_by_another_schedule_is_not_run_again() -> None:
    assert only(SlotStatus(SLOT + timedelta(minutes=1), 1, State.FAILED)) == Due((), ())


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.RUNNING, State.PENDING, State.SKIPPED])
def test_a_run_that_succeeded_or_lives_is_left_alone(state: State) -> None:
    assert only(SlotStatus(SLOT, 1, state)) == Due((), ())


@pytest.mark.parametrize(("state", "dead"), [(State.FAILED, False), (State.RUNNING, True)])
def test_a_run_that_failed_or_died_is_tried_again_up_to_three_times(state: State, dead: bool) -> None:
    assert only(SlotStatus(SLOT, 1, state, dead)).slots == (DueSlot("sql_log", SLOT, 2),)
    assert only(SlotStatus(SLOT, 2, state, dead)).slots == (DueSlot("sql_log", SLOT, 3),)
    assert only(SlotStatus(SLOT, 3, state, dead)) == Due((), (DueSlot("sql_log", SLOT, 3),))


def test_day_and_weekday_must_both_match() -> None:
    assert next_slot("0 0 0 13 * 5", NOW) == datetime(2026, 11, 13, tzinfo=UTC)  # the next Friday the 13th


@pytest.mark.parametrize("sunday", ["0", "SUN", "sun"])
def test_zero_is_sunday_and_names_are_known(sunday: str) -> None:
    assert latest_slot(f"0 0 3 * * {sunday}", NOW) == datetime(2026, 10, 4, 3, tzinfo=UTC)


def test_slots_are_utc_whatever_zone_now_is_given_in() -> None:
    here = timezone(timedelta(hours=5, minutes=30))
    assert latest_slot("0 0 1 * * *", NOW.astimezone(here)) == datetime(2026, 10, 6, 1, tzinfo=UTC)
    assert latest_slot("0 0 1 * * *", NOW.astimezone(here)).utcoffset() == timedelta(0)


def test_the_instant_of_a_slot_and_the_fraction_of_a_second_after_it_belong_to_it() -> None:
    assert latest_slot(QUARTERS, SLOT) == SLOT
    assert latest_slot(QUARTERS, SLOT + timedelta(microseconds=999_999)) == SLOT
    assert latest_slot(QUARTERS, SLOT - timedelta(microseconds=1)) == SLOT - timedelta(minutes=15)
    assert next_slot(QUARTERS, SLOT) == SLOT + timedelta(minutes=15)


def test_a_schedule_that_never_fires_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSettingsError, match="0 0 0 30 2"):
        due({"sql_full": "0 0 0 30 2 *"}, {}, NOW)


@repeatable
@given(schedules, instants)
def test_now_lies_between_the_latest_slot_and_the_next(schedule: str, now: datetime) -> None:
    assert latest_slot(schedule, now) <= now < next_slot(schedule, now)


@repeatable
@given(schedules, instants)
def test_the_next_slot_of_the_latest_slot_is_the_next_slot(schedule: str, now: datetime) -> None:
    slot = latest_slot(schedule, now)
    assert latest_slot(schedule, slot) == slot
    assert next_slot(schedule, slot) == next_slot(schedule, now)


@repeatable
@given(schedules, instants, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_a_later_now_never_gives_an_earlier_slot(schedule: str, now: datetime, later: timedelta) -> None:
    assert latest_slot(schedule, now) <= latest_slot(schedule, now + later)


@repeatable
@given(timers, st.dictionaries(st.sampled_from(["sql_full", "sql_log", "other"]), statuses), instants)
def test_every_timer_has_at_most_one_slot_and_it_is_its_latest(
    timers: dict[str, str], claims: dict[str, SlotStatus], now: datetime
) -> None:
    found = due(timers, claims, now)
    named = [one.timer for one in found.slots + found.given_up]
    assert len(named) == len(set(named))
    for one in found.slots + found.given_up:
        assert one.slot == latest_slot(timers[one.timer], now)
    assert all(1 <= one.attempt <= MOST_ATTEMPTS for one in found.slots)
    assert found == due(timers, claims, now)


@repeatable
@given(timers, instants)
def test_nothing_is_due_right_after_everything_succeeded(timers: dict[str, str], now: datetime) -> None:
    first = due(timers, {}, now)
    assert {one.timer for one in first.slots} == set(timers)
    done = {one.timer: SlotStatus(one.slot, one.attempt, State.SUCCEEDED) for one in first.slots}
    assert due(timers, done, now) == Due((), ())


@repeatable
@given(schedules, instants)
def test_a_slot_that_always_fails_is_tried_exactly_three_times_and_then_reported(
    schedule: str, now: datetime
) -> None:
    claims: dict[str, SlotStatus] = {}
    tried = 0
    while (found := due({"sql_full": schedule}, claims, now)).slots:
        tried += 1
        claims = {one.timer: SlotStatus(one.slot, one.attempt, State.FAILED) for one in found.slots}
    assert tried == MOST_ATTEMPTS
    assert [one.timer for one in found.given_up] == ["sql_full"]
