"""How things stand: ages, targets, windows, timers, what runs, what deserves a look."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.planning.words import lasted, said
from shared.reporting.text import bullets, heading, joined, wrapped

_AGES = {"pair": "Both sides together", "sqlserver": "SQL Server", "qdrant": "Qdrant"}
_TARGETS = {
    "rpo": ("Lost at most (RPO)", "what a disaster now would cost"),
    "rto": ("Restored within (RTO)", "the last drill"),
}
_MARKS = {"error": "ERROR: ", "warning": "WARNING: ", "info": ""}


def status_text(status: dict[str, Any]) -> str:
    """The status as the HTTP route and the command line give it, for reading.

    Args:
        status: what ``workflows.standing.status`` gives.
    """
    return joined(
        [
            f"STATUS at {_time(status['at'])}",
            *_findings(status["findings"]),
            *heading("Newest restorable moment"),
            *(
                line
                for side, age in status["ages_seconds"].items()
                for line in wrapped(f"{_AGES.get(side, side):<20} {_age(age)}")
            ),
            *heading("Targets"),
            *(line for name, target in status["targets"].items() for line in _target(name, target)),
            *_drill(status["drill"]),
            *heading("Restorable windows"),
            *(line for name, windows in status["windows"].items() for line in _windows(name, windows)),
            *heading("Newest complete recovery point"),
            *_point(status["newest_recovery_point"]),
            *heading("Timers"),
            *(line for name, timer in status["timers"].items() for line in _timer(name, timer)),
            *heading("Running"),
            *([line for run in status["running"] for line in _run(run)] or ["  Nothing."]),
        ]
    )


def _findings(findings: list[dict[str, Any]]) -> list[str]:
    if not findings:
        return []
    texts = (f"{_MARKS[one['severity']]}{one['message']} {one['hint']} [{one['code']}]" for one in findings)
    return [*heading("Look at this first"), *bullets(texts)]


def _time(text: str) -> str:
    return said(datetime.fromisoformat(text))


def _span(seconds: float) -> str:
    return lasted(timedelta(seconds=seconds))


def _age(seconds: float | None) -> str:
    return "never backed up" if seconds is None else f"{_span(seconds)} ago"


def _target(name: str, target: Mapping[str, Any]) -> list[str]:
    title, measured = _TARGETS.get(name, (name, "measured"))
    if target["seconds"] is None:
        verdict = "nothing can be restored" if name == "rpo" else "not measured: no drill has ended yet"
    else:
        verdict = f"{measured}: {_span(target['seconds'])}, {'met' if target['met'] else 'MISSED'}"
    return wrapped(f"{title:<21} {_span(target['target_seconds'])}; {verdict}")


def _drill(drill: Mapping[str, Any] | None) -> list[str]:
    if drill is None:
        return ["  Last drill            never"]
    when = f" {_time(drill['when'])}" if drill.get("when") else ""
    return wrapped(f"{'Last drill':<21} {drill['verdict'] or 'under way'}{when} (run {drill['id']})")


def _windows(database: str, windows: list[dict[str, Any]]) -> list[str]:
    if not windows:
        return wrapped(f"{database}: nothing can be restored")
    texts = (f"{_between(one)}: {one['why']}" for one in windows)
    return [*wrapped(database), *(line for text in texts for line in wrapped(text, "    - "))]


def _between(window: Mapping[str, Any]) -> str:
    start, end = _time(window["start"]), _time(window["end"])
    return start if start == end else f"{start} to {end}"


def _point(point: dict[str, Any] | None) -> list[str]:
    if point is None:
        return ["  None yet."]
    name = f" “{point['name']}”" if point["name"] else ""
    return wrapped(f"{point['id']}{name}, made {_time(point['made_at'])}")


def _timer(name: str, timer: dict[str, Any]) -> list[str]:
    last, following = _time(timer["last_slot"]), _time(timer["next_slot"])
    return wrapped(f"{name:<17} slot {last} {timer['last_state']}, next {following} ({timer['schedule']})")


def _run(run: dict[str, Any]) -> list[str]:
    return wrapped(
        f"{run['title']} (run {run['id']}, attempt {run['attempt']}, since {_time(run['started_at'])})"
    )
