"""Timer functions fire by their schedule, one at a time."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.functions_host.schedule import BadScheduleError, Schedule
from tests.local.functions_host.hosted import FUNCTION_KEY, MASTER_KEY, Hosted


def ticks(host: Hosted, number: int) -> list[float]:
    deadline = time.monotonic() + 15
    while len(found := host.call("GET", "/api/ticks").json()) < number:
        assert time.monotonic() < deadline, f"only {len(found)} ticks"
        time.sleep(0.1)
    return list(found)


def test_a_timer_fires_at_the_seconds_of_its_setting(tmp_path: Path) -> None:
    with Hosted(tmp_path / "log", TICK_SCHEDULE="*/1 * * * * *") as host:
        fired = ticks(host, 3)
    assert [round(later - earlier, 1) for earlier, later in itertools.pairwise(fired)] == [1.0, 1.0]
    assert all(instant % 1 < 0.3 for instant in fired)


def test_occurrences_are_skipped_while_the_function_still_runs(tmp_path: Path) -> None:
    with Hosted(tmp_path / "log", TICK_SCHEDULE="* * * * * *", TICK_SECONDS="1.2") as host:
        fired = ticks(host, 2)
    assert fired[1] - fired[0] == pytest.approx(2.0, abs=0.3)


def test_a_timer_can_be_run_at_once_with_the_master_key(host: Hosted) -> None:
    before = host.call("GET", "/api/ticks").json().count(-1.0)
    assert host.call("POST", "/admin/functions/yearly", key=FUNCTION_KEY).status_code == 401
    assert host.call("POST", "/admin/functions/yearly", key=MASTER_KEY, json={}).status_code == 202
    assert host.call("GET", "/api/ticks").json().count(-1.0) == before + 1
    assert host.call("POST", "/admin/functions/health", key=MASTER_KEY).status_code == 400
    assert host.call("POST", "/admin/functions/nowhere", key=MASTER_KEY).status_code == 404


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("0 */15 * * * *", "2026-03-01T10:07:00", "2026-03-01T10:15:00"),
        ("0 0 1 * * *", "2026-03-01T01:00:00", "2026-03-02T01:00:00"),
        ("30 0 0 * * SUN", "2026-03-02T00:00:00", "2026-03-08T00:00:30"),
        ("0 0 0 13 * FRI", "2026-03-14T00:00:00", "2026-11-13T00:00:00"),  # both have to fit
        ("*/5 * * * * *", "2026-12-31T23:59:57", "2027-01-01T00:00:00"),
    ],
)
def test_the_next_occurrence(expression: str, after: str, due: str) -> None:
    instant = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert Schedule(expression).after(instant) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * * *",
        "0 0 1 * *",
        "@daily",
        "0 0 0 * * 7",
        "0 0 0 ? * *",
        "0 0 0 L * *",
        "60 * * * * *",
        "0 0 0 31 2 *",
    ],
)
def test_what_is_no_six_field_schedule_is_refused(expression: str) -> None:
    with pytest.raises(BadScheduleError):
        Schedule(expression)
