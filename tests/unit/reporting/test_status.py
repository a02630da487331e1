"""The status, as a person reads it."""

from __future__ import annotations

from typing import Any

from shared.reporting import status_text

STATUS: dict[str, Any] = {
    "at": "2026-03-01T07:00:00.123456Z",
    "newest_recovery_point": {"id": "POINT1", "name": None, "made_at": "2026-03-01T04:36:00.654321Z"},
    "ages_seconds": {"pair": 8640.0, "sqlserver": 3595.0, "qdrant": None},
    "timers": {
        "sql_log": {
            "schedule": "0 */15 * * * *",
            "last_slot": "2026-03-01T07:00:00Z",
            "last_state": "succeeded",
            "next_slot": "2026-03-01T07:15:00Z",
        },
        "sql_differential": {
            "schedule": "0 0 */4 * * *",
            "last_slot": "2026-03-01T04:00:00Z",
            "last_state": "not started",
            "next_slot": "2026-03-01T08:00:00Z",
        },
    },
    "running": [],
}
RUN = {"title": "Log backup", "id": "R1", "attempt": 2, "started_at": "2026-03-01T06:59:58.5Z"}


def named(name: str) -> str:
    return status_text(STATUS | {"newest_recovery_point": STATUS["newest_recovery_point"] | {"name": name}})


def test_it_tells_how_old_each_side_is_and_what_was_never_backed_up() -> None:
    lines = status_text(STATUS).splitlines()
    assert lines[0] == "STATUS at 2026-03-01 07:00:00Z"
    assert "  Both sides together  2 h 24 min ago" in lines
    assert "  SQL Server           59 min 55 s ago" in lines
    assert "  Qdrant               never backed up" in lines


def test_it_tells_the_newest_complete_recovery_point_or_that_there_is_none() -> None:
    assert "  POINT1, made 2026-03-01 04:36:00Z" in status_text(STATUS).splitlines()
    assert "  POINT1 “before v7”, made" in named("before v7")
    assert "  None yet." in status_text(STATUS | {"newest_recovery_point": None}).splitlines()


def test_it_tells_each_timers_last_and_next_slot_on_one_line() -> None:
    lines = status_text(STATUS).splitlines()
    assert (
        "  sql_log           slot 2026-03-01 07:00:00Z succeeded, next 2026-03-01 07:15:00Z (0 */15 * * * *)"
        in lines
    )
    assert any(line.startswith("  sql_differential  slot") and "not started" in line for line in lines)


def test_it_tells_what_runs_or_that_nothing_does() -> None:
    assert status_text(STATUS).endswith("RUNNING\n  Nothing.\n")
    busy = status_text(STATUS | {"running": [RUN]})
    assert "  Log backup (run R1, attempt 2, since 2026-03-01 06:59:58Z)" in busy.splitlines()
    assert "Nothing." not in busy


def test_it_is_plain_text_of_100_columns_also_with_hostile_names() -> None:
    text = named("\x1b[31mred\u202e " + "x" * 300)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
