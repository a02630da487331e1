"""The consistency rule: every vector side that is restored ended before the SQL point it is paired with.

Then no vector can refer to an agent that was created after the SQL point. For a recovery point the order is
certain, because its mark was set after its snapshots had ended; without a mark, its log backup began after
them. So it is for any SQL target at or after the point's own, whose times are both SQL Server's. Only where a
snapshot set has no point are two clocks compared: ours, which times the snapshots (Qdrant's own clock, in
whole seconds, is not used), and SQL Server's. A margin is kept then, and where SQL Server's clock was found
ahead of ours, that much more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.model.hints import SetHint
from shared.model.plans import PointTarget, TimeTarget
from shared.model.points import RecoveryPoint, SqlSide
from shared.planning.words import said

CLOCK_MARGIN = timedelta(minutes=5)
"""How far SQL Server's clock and ours may differ where no mark proves the order: the most that Kerberos in a
Windows domain tolerates by default (Microsoft: "Maximum tolerance for computer clock synchronization")."""


@dataclass(frozen=True)
class NoPair:
    """Why the two sides cannot be paired, as a stable code and a sentence."""

    code: str
    reason: str


@dataclass(frozen=True)
class VectorChoice:
    """The vector side for a SQL target; ``point`` is None where the set belongs to no complete point."""

    set_id: str
    finished_at: datetime
    point: RecoveryPoint | None


def sql_time(point: RecoveryPoint) -> datetime:
    """t2: when the point's last mark was set, or its last log backup ended (UTC, SQL Server's clock)."""
    return max((side.at for side in point.sql), default=point.vectors.finished_at)


def breach(point: RecoveryPoint) -> str | None:
    """Why a recovery point breaks the rule; None if it holds.

    That its mark was set after its snapshots had ended is certain by how points are made; their times come
    from two clocks, so only an order that no honest pair of clocks explains is a breach. Where the clocks
    were compared when the point was made, their difference explains nothing.
    """
    for side in point.sql:
        if point.vectors.finished_at > side.at_by_our_clock + CLOCK_MARGIN:
            return (
                f"Recovery point {point.id} breaks the consistency rule: its snapshots ended at "
                f"{said(point.vectors.finished_at)}, after the SQL point of {side.database} at "
                f"{said(side.at)}."
            )
    return None


def pair(
    points: Sequence[RecoveryPoint], target: Literal["latest"] | PointTarget | TimeTarget
) -> RecoveryPoint | NoPair:
    """The recovery point that pairs both sides for a target.

    A point that is asked for, by id or by name (the newest of that name), may be incomplete. Otherwise it is
    the newest complete one, for a time the newest whose SQL point is at or before it.
    """
    if isinstance(target, PointTarget):
        return _asked_for(points, target.recovery_point)
    complete = [point for point in points if point.complete and breach(point) is None]
    if isinstance(target, TimeTarget):
        complete = [point for point in complete if sql_time(point) <= target.time]
    if complete:
        return max(complete, key=lambda point: (sql_time(point), point.id))
    when = f" at or before {said(target.time)}" if isinstance(target, TimeTarget) else ""
    return NoPair("no_recovery_point", f"There is no complete recovery point{when}{_others(points)}.")


def _asked_for(points: Sequence[RecoveryPoint], wanted: str) -> RecoveryPoint | NoPair:
    found = [point for point in points if point.id == wanted]
    found = found or [point for point in points if point.name == wanted]
    if not found:
        return NoPair("recovery_point_unknown", f"There is no recovery point with the id or name {wanted!r}.")
    point = max(found, key=lambda point: (point.made_at, point.id))
    wrong = breach(point)
    return NoPair("recovery_point_inconsistent", wrong) if wrong else point


def _others(points: Sequence[RecoveryPoint]) -> str:
    if not points:
        return "; none was ever made"
    newest = max(points, key=lambda point: (point.made_at, point.id))
    complete = [point for point in points if point.complete]
    if complete:
        first = min(complete, key=lambda point: (sql_time(point), point.id))
        return f"; the first complete one, {first.id}, is of {said(sql_time(first))}"
    return f"; the newest incomplete one is {newest.id} ({', '.join(newest.reasons) or 'no reason recorded'})"


def vectors_before(
    points: Sequence[RecoveryPoint],
    sets: Iterable[SetHint],
    sql_point: datetime,
    applied: Collection[str] = (),
) -> VectorChoice | NoPair:
    """The newest vector side that surely ended before a SQL point (policy ``latest_sql``).

    Args:
        points: all recovery points; a complete one whose mark is at or before the SQL point proves the order.
        sets: all snapshot sets; a complete one without such a point must have ended CLOCK_MARGIN earlier, and
            earlier still by as much as SQL Server's clock was ahead of ours around then.
        sql_point: up to where SQL Server is restored (UTC, SQL Server's clock); where only a bound is known,
            the earliest that it can be.
        applied: ids of the backups that are restored as a whole. A mark in one of them is reached, whatever
            the clocks say: msdb keeps whole seconds, so a mark can seem later than the end of its own log.
    """
    choices = [
        VectorChoice(point.vectors.snapshot_set_id, point.vectors.finished_at, point)
        for point in points
        if point.complete and breach(point) is None and _reached(point, sql_point, applied)
    ]
    proven = {choice.set_id for choice in choices}
    choices += [
        VectorChoice(hint.id, hint.finished_at, None)
        for hint in sets
        if hint.complete
        and hint.id not in proven
        and hint.finished_at + CLOCK_MARGIN + lead(points, hint.finished_at) <= sql_point
    ]
    if choices:
        return max(choices, key=lambda choice: (choice.finished_at, choice.set_id))
    return NoPair(
        "no_vectors_before_target",
        f"No complete snapshot set surely ended before {said(sql_point)}: where no recovery point proves the "
        f"order, it must have ended {CLOCK_MARGIN.seconds // 60} minutes earlier, because clocks differ.",
    )


def lead(points: Sequence[RecoveryPoint], moment: datetime) -> timedelta:
    """How far SQL Server's clock may have been ahead of ours at a moment; nothing where nobody compared them.

    Told by the points that were made next before and next after it, whichever says more. A clock that was
    behind makes a SQL target later than it looks, which costs nothing.
    """
    measured = [(point.made_at, ahead) for point in points if (ahead := _ahead(point)) is not None]
    before = max((one for one in measured if one[0] <= moment), default=None)
    after = min((one for one in measured if one[0] > moment), default=None)
    leads = [one[1] for one in (before, after) if one]
    return max([timedelta(0), *leads])


def _ahead(point: RecoveryPoint) -> timedelta | None:
    """The most that a server's clock can have been ahead of ours when a point was made."""
    leads = [
        side.clock_offset_seconds + (side.clock_uncertainty_seconds or 0.0)
        for side in point.sql
        if side.clock_offset_seconds is not None
    ]
    return timedelta(seconds=max(leads)) if leads else None


def clocks_differ(side: SqlSide) -> str | None:
    """That SQL Server's clock and ours surely differ by more than the margin; None if they need not."""
    if side.clock_offset_seconds is None:
        return None
    surely = abs(side.clock_offset_seconds) - (side.clock_uncertainty_seconds or 0.0)
    if surely <= CLOCK_MARGIN.total_seconds():
        return None
    way = "ahead of" if side.clock_offset_seconds > 0 else "behind"
    return f"The clock of SQL Server {side.server} is {abs(side.clock_offset_seconds):,.0f} s {way} ours."


def _reached(point: RecoveryPoint, sql_point: datetime, applied: Collection[str]) -> bool:
    """Whether the point's mark is surely among what is restored."""
    marked = {side.log_backup_id for side in point.sql}
    return sql_time(point) <= sql_point or bool(marked and marked <= set(applied))
