"""Timers: six-field NCRONTAB schedules, in UTC, that really fire."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import UTC, datetime

from croniter import CroniterError, croniter

from local.functions_host.messages import protos
from local.functions_host.worker import Function, InvocationFailedError, WorkerLibrary

_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT"
_VALUES = [r"\d+", r"\d+", r"\d+", r"\d+", rf"(?:\d+|{_MONTHS})", rf"(?:[0-6]|{_DAYS})"]
_NAMES = ["second", "minute", "hour", "day", "month", "day of the week (0-6)"]

log = logging.getLogger(__name__)


class BadScheduleError(ValueError):
    """An expression that the host would not read."""


class Schedule:
    """A six-field NCRONTAB expression: second, minute, hour, day, month, day of the week.

    Unlike in Unix' cron, a day has to fit *both* the day and the day of the week. What Unix' descendants
    added (``?``, ``L``, ``W``, ``#``, ``@daily``, Sunday as 7) NCrontab does not know.

    Args:
        expression: the text.

    Raises:
        BadScheduleError: the text is not such an expression, or describes no day that ever comes.
    """

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        if len(fields) != len(_NAMES):
            raise BadScheduleError(f"it has {len(fields)} fields instead of 6.")
        for name, value, field in zip(_NAMES, _VALUES, fields, strict=True):
            one = rf"(?:\*|{value}(?:-{value})?)(?:/[1-9]\d*)?"
            if not re.fullmatch(rf"{one}(?:,{one})*", field, re.IGNORECASE):
                raise BadScheduleError(f"{field!r} is no {name}.")
        self._expression = expression
        try:
            self.after(datetime.now(UTC))
        except CroniterError as error:
            raise BadScheduleError(f"{error}.") from error

    def after(self, instant: datetime) -> datetime:
        """The first occurrence after an instant, in UTC."""
        steps = croniter(self._expression, instant, second_at_beginning=True, day_or=False)
        return steps.get_next(datetime).astimezone(UTC)


async def keep_firing(worker: WorkerLibrary, function: Function, schedule: Schedule) -> None:
    """Fire a timer function at every occurrence until cancelled.

    One run at a time: occurrences that pass while the function still runs are skipped, as the host's
    singleton lock does. A failure is logged; the next occurrence comes all the same, there is no retry.
    """
    last = datetime.now(UTC)
    while True:
        now = datetime.now(UTC)
        due = schedule.after(max(last, now))
        await asyncio.sleep((due - now).total_seconds())
        try:
            await fire(worker, function, schedule, last)
        except InvocationFailedError as error:
            log.error("Timer %s failed: %s\n%s", function.name, error, error.trace)  # noqa: TRY400 - has it
        last = due


async def fire(worker: WorkerLibrary, function: Function, schedule: Schedule, last: datetime) -> None:
    """Invoke a timer function once.

    Args:
        worker: the app.
        function: which.
        schedule: its schedule, for what the function is told about the next time.
        last: when it fired before.

    Raises:
        InvocationFailedError: the function raised.
    """
    now = datetime.now(UTC)
    told = {
        "Schedule": {"AdjustForDST": True},
        "IsPastDue": False,
        "ScheduleStatus": {
            "Last": last.isoformat(),
            "LastUpdated": now.isoformat(),
            "Next": schedule.after(now).isoformat(),
        },
    }
    await worker.invoke(function, protos.TypedData(json=json.dumps(told)))
