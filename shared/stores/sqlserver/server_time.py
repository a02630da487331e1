"""SQL Server's local times and UTC: the only place where one becomes the other.

Dates in msdb, times of marks and STOPAT are local times of the server without a zone. What is known of the
zone is ``backupset.time_zone``, in steps of 15 minutes, where 127 stands for "unknown" (Microsoft's
documentation of backupset), and the server's present offset.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNKNOWN_ZONE = 127
_STEP_MINUTES = 15


def offset_minutes(time_zone: int | None, present: int) -> int:
    """Local time minus UTC when a backup was made: as recorded with it, else the server's ``present`` one."""
    return present if time_zone is None or time_zone == UNKNOWN_ZONE else time_zone * _STEP_MINUTES


def to_utc(local: datetime, offset: int) -> datetime:
    """A naive local time of the server as an aware instant in UTC; ``offset`` in minutes."""
    return (local - timedelta(minutes=offset)).replace(tzinfo=UTC)


def to_local(instant: datetime, offset: int) -> datetime:
    """The inverse: an aware instant as the server's naive local time."""
    return instant.astimezone(UTC).replace(tzinfo=None) + timedelta(minutes=offset)
