"""Which timers have work to do now: pure, from their schedules and from what became of their latest slots.

Schedules are NCRONTAB with six fields in UTC, as Azure Functions reads them: second, minute, hour, day,
month, weekday (0 is Sunday, names work too); day *and* weekday must match where both are given (Microsoft's
documentation of the timer trigger).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import CroniterBadDateError, croniter

from shared.errors import InvalidSettingsError
from shared.model.runs import State

MOST_ATTEMPTS = 3
"""How often a slot is tried before it is given up until the next one."""


@dataclass(frozen=True)
class SlotStatus:
    """What became of a slot that was claimed.

    Args:
        slot: the scheduled instant, UTC.
        attempt: which attempt the claim is for, from 1.
        state: where its run stands.
        dead: whether the run claims to be under way, but its owner has stopped to beat.
    """

    slot: datetime
    attempt: int
    state: State
    dead: bool = False

    @property
    def failed(self) -> bool:
        """Whether this attempt came to nothing."""
        return self.dead or self.state is State.FAILED


@dataclass(frozen=True)
class DueSlot:
    """A slot of a timer to be run now, and as which attempt; when given up, which attempt was the last."""

    timer: str
    slot: datetime
    attempt: int


@dataclass(frozen=True)
class Due:
    """The slots to run now, and those whose attempts are all used up; at most one slot per timer in both."""

    slots: tuple[DueSlot, ...]
    given_up: tuple[DueSlot, ...]


def due(schedules: Mapping[str, str], claims: Mapping[str, SlotStatus], now: datetime) -> Due:
    """The slots that must be run.

    Only a timer's latest slot counts: an older one that was missed is made up for by it.

    Args:
        schedules: timer → NCRONTAB expression.
        claims: timer → its latest claimed slot; a timer that never claimed one is absent.
        now: the present instant, UTC.

    Returns:
        Slots that nobody has claimed, as attempt 1; slots whose run failed or died, as the next attempt; and
        apart from them the slots that have failed three times.

    Raises:
        InvalidSettingsError: a schedule never fires.
    """
    slots, given_up = [], []
    for timer, schedule in schedules.items():
        slot = latest_slot(schedule, now)
        claim = claims.get(timer)
        if claim is None or claim.slot < slot:
            slots.append(DueSlot(timer, slot, 1))
        elif claim.slot == slot and claim.failed:
            if claim.attempt < MOST_ATTEMPTS:
                slots.append(DueSlot(timer, slot, claim.attempt + 1))
            else:
                given_up.append(DueSlot(timer, slot, claim.attempt))
    return Due(tuple(slots), tuple(given_up))


def latest_slot(schedule: str, now: datetime) -> datetime:
    """The latest instant at or before ``now`` that the schedule names, UTC.

    Raises:
        InvalidSettingsError: there is none within decades.
    """
    # croniter looks strictly before its start, which is therefore the first whole second after now.
    return _first(schedule, _whole(now) + timedelta(seconds=1), backwards=True)


def next_slot(schedule: str, now: datetime) -> datetime:
    """The first instant after ``now`` that the schedule names, UTC.

    Raises:
        InvalidSettingsError: there is none within decades.
    """
    return _first(schedule, _whole(now), backwards=False)


def _whole(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0)


def _first(schedule: str, start: datetime, *, backwards: bool) -> datetime:
    cron = croniter(schedule, start, second_at_beginning=True, day_or=False)
    try:
        return cron.get_prev(datetime) if backwards else cron.get_next(datetime)
    except CroniterBadDateError:
        raise InvalidSettingsError(
            f"The schedule {schedule!r} never fires.", "Correct it; no year has such a day."
        ) from None
