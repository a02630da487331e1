"""How things stand: ages, timers, what runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.planning.words import lasted
from shared.reporting.text import heading, joined, wrapped

_AGES = {"pair": "both sides together", "sqlserver": "SQL Server", "qdrant": "Qdrant"}


def status_text(status: dict[str, Any]) -> str:
    """The status as the HTTP route and the command line give it, for reading.

    ``status`` holds ``at``, ``ages_seconds`` by side, ``newest_recovery_point``, ``timers`` by name and
    ``running`` runs.
    """
    point = status["newest_recovery_point"]
    newest = f"{point['id']}, made {point['made_at']}" if point else "none yet"
    return joined(
        [
            f"Status at {status['at']}",
            *heading("Newest backup"),
            *(
                line
                for side, age in status["ages_seconds"].items()
                for line in wrapped(f"{_AGES.get(side, side)}: {_age(age)}")
            ),
            *wrapped(f"Newest complete recovery point: {newest}"),
            *heading("Timers"),
            *(line for name, timer in status["timers"].items() for line in _timer(name, timer)),
            *heading("Running"),
            *([line for run in status["running"] for line in _run(run)] or ["  Nothing."]),
        ]
    )


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{lasted(timedelta(seconds=seconds))} ago"


def _timer(name: str, timer: dict[str, Any]) -> list[str]:
    return wrapped(
        f"{name}: last slot {timer['last_slot']} {timer['last_state']}, next {timer['next_slot']} "
        f"({timer['schedule']})",
        "  ",
        "    ",
    )


def _run(run: dict[str, Any]) -> list[str]:
    return wrapped(f"{run['title']} (run {run['id']}, attempt {run['attempt']}, since {run['started_at']})")
