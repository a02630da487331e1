"""Local times of the server and UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.stores.sqlserver.server_time import offset_minutes, to_local, to_utc

LOCAL = datetime(2026, 7, 1, 5, 30)  # noqa: DTZ001 - the server's local time has no zone


def test_a_zone_is_recorded_in_quarters_of_an_hour() -> None:
    assert offset_minutes(22, 0) == 330  # India
    assert offset_minutes(-20, 0) == -300  # New York in winter


def test_an_unknown_zone_is_the_servers_present_one() -> None:
    assert offset_minutes(127, 60) == 60
    assert offset_minutes(None, -60) == -60


def test_local_time_becomes_utc() -> None:
    assert to_utc(LOCAL, 330) == datetime(2026, 7, 1, 0, 0, tzinfo=UTC)
    assert to_utc(LOCAL, -300) == datetime(2026, 7, 1, 10, 30, tzinfo=UTC)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - local times have no zone
    st.integers(-56, 56),
)
def test_there_and_back_is_the_same_instant(local: datetime, quarters: int) -> None:
    offset = 15 * quarters
    assert to_local(to_utc(local, offset), offset) == local
    assert to_utc(local, offset) - to_utc(local, offset + 15) == timedelta(minutes=15)
