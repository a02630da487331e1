"""The status, as a person reads it."""

from __future__ import annotations

from typing import Any

from shared.reporting import status_text

WINDOW = {
    "start": "2026-02-27T01:00:05Z",
    "end": "2026-03-01T06:00:00Z",
    "why": "it is the newest log backup so far",
}
STATUS: dict[str, Any] = {
    "at": "2026-03-01T07:00:00.123456Z",
    "newest_recovery_point": {"id": "POINT1", "name": None, "made_at": "2026-03-01T04:36:00.654321Z"},
    "ages_seconds": {"pair": 8640.0, "sqlserver": 3595.0, "qdrant": None},
    "windows": {"OctopusDB": [WINDOW], "Second": []},
    "targets": {
        "rpo": {"target_seconds": 1800, "seconds": 3595.0, "met": False},
        "rto": {"target_seconds": 14400, "seconds": None, "met": None},
    },
    "drill": None,
    "timers": {
        "sql_log": {
            "schedule": "0 */15 * * * *",
            "last_slot": "2026-03-01T07:00:00Z",
            "last_state": "succeeded",
            "attempt": 1,
            "next_slot": "2026-03-01T07:15:00Z",
        },
        "sql_differential": {
            "schedule": "0 0 */4 * * *",
            "last_slot": "2026-03-01T04:00:00Z",
            "last_state": "not started",
            "attempt": 0,
            "next_slot": "2026-03-01T08:00:00Z",
        },
    },
    "running": [],
    "findings": [],
}
RUN = {"title": "Log backup", "id": "R1", "attempt": 2, "started_at": "2026-03-01T06:59:58.5Z"}
DRILL = {"id": "D1", "when": "2026-02-28T05:10:00Z", "verdict": "passed", "rto_seconds": 900.0}


def named(name: str) -> str:
    return status_text(STATUS | {"newest_recovery_point": STATUS["newest_recovery_point"] | {"name": name}})


def test_it_tells_how_old_each_side_is_and_what_was_never_backed_up() -> None:
    lines = status_text(STATUS).splitlines()
    assert lines[0] == "STATUS at 2026-03-01 07:00:00Z"
    assert "  Both sides together  2 h 24 min ago" in lines
    assert "  SQL Server           59 min 55 s ago" in lines
    assert "  Qdrant               never backed up" in lines


def test_it_tells_the_targets_beside_what_is_so() -> None:
    lines = status_text(STATUS).splitlines()
    assert "  Lost at most (RPO)    30 min; what a disaster now would cost: 59 min 55 s, MISSED" in lines
    assert "  Restored within (RTO) 4 h; not measured: no drill has ended yet" in lines
    assert "  Last drill            never" in lines
    nothing = STATUS["targets"] | {"rpo": {"target_seconds": 1800, "seconds": None, "met": None}}
    assert "30 min; nothing can be restored" in status_text(STATUS | {"targets": nothing})


def test_it_tells_the_last_drill_and_what_it_measured() -> None:
    rto = {"target_seconds": 14400, "seconds": 900.0, "met": True}
    lines = status_text(STATUS | {"drill": DRILL, "targets": STATUS["targets"] | {"rto": rto}}).splitlines()
    assert "  Restored within (RTO) 4 h; the last drill: 15 min, met" in lines
    assert "  Last drill            passed 2026-02-28 05:10:00Z (run D1)" in lines


def test_it_tells_the_windows_of_every_database_and_why_each_ends() -> None:
    text = " ".join(status_text(STATUS).split())
    assert (
        "OctopusDB - 2026-02-27 01:00:05Z to 2026-03-01 06:00:00Z: it is the newest log backup so far" in text
    )
    assert "Second: nothing can be restored" in text


def test_what_deserves_a_look_stands_first() -> None:
    finding = {"severity": "error", "message": "It failed.", "hint": "Look.", "code": "slot_given_up"}
    lines = status_text(STATUS | {"findings": [finding]}).splitlines()
    assert lines.index("  - ERROR: It failed. Look. [slot_given_up]") < lines.index("TARGETS")
    assert "LOOK AT THIS FIRST" not in status_text(STATUS)


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
    text += status_text(STATUS | {"windows": {"\x1b]0;" + "y" * 300: [WINDOW]}})
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
