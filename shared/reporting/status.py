"""How things stand: ages, timers, what runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.planning.words import lasted, said
from shared.reporting.text import heading, joined, wrapped

_AGES = {"pair": "Both sides together", "sqlserver": "SQL Server", "qdrant": "Qdrant"}


def status_text(status: dict[str, Any]) -> str:
    """The status as the HTTP route and the command line give it, for reading.

    Args:
        status: what ``workflows.looking.status`` gives: ``at`` (ISO time), ``ages_seconds`` by side (None:
            never), ``newest_recovery_point`` (None: there is none), ``timers`` by name, ``running`` runs.
    """
    return joined(
        [
            f"STATUS at {_time(status['at'])}",
            *heading("Newest restorable moment"),
            *(
                line
                for side, age in status["ages_seconds"].items()
                for line in wrapped(f"{_AGES.get(side, side):<20} {_age(age)}")
            ),
            *heading("Newest complete recovery point"),
            *_point(status["newest_recovery_point"]),
            *heading("Timers"),
            *(line for name, timer in status["timers"].items() for line in _timer(name, timer)),
            *heading("Running"),
            *([line for run in status["running"] for line in _run(run)] or ["  Nothing."]),
        ]
    )


def _time(text: str) -> str:
    return said(datetime.fromisoformat(text))


def _age(seconds: float | None) -> str:
    return "never backed up" if seconds is None else f"{lasted(timedelta(seconds=seconds))} ago"


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
