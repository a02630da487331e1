"""What a request stands for: which recovery point, which snapshot set, which chain per database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.errors import InvalidRequestError, NotFoundError, NothingToRestoreError
from shared.model.hints import SetHint, SqlHint
from shared.model.plans import PlanRequest, PointTarget, Policy, RestoreTarget, TimeTarget
from shared.model.points import RecoveryPoint, SqlSide
from shared.planning.asked import Sides, demand_sensible, sides_of
from shared.planning.chains import Chain, ChainTarget, NoChain, ToLatest, ToLogEnd, ToLsn, ToTime, chain
from shared.planning.consistency import NoPair, VectorChoice, breach, pair, sql_time, vectors_before
from shared.planning.timelines import left_behind
from shared.planning.words import said


@dataclass(frozen=True)
class Known:
    """What the catalogue knows: points and sets in any order, backups by database.

    ``backups`` holds every database that a recovery point can lead to; ``current`` are those in use today,
    which everything but a recovery point is about. Where it is empty, they are those of the newest point, and
    without any, all.
    """

    points: Sequence[RecoveryPoint]
    sets: Sequence[SetHint]
    backups: Mapping[str, Sequence[SqlHint]]
    current: frozenset[str] = frozenset()

    @property
    def in_use(self) -> dict[str, Sequence[SqlHint]]:
        """The backups of the databases in use today; one that has none yet is left out."""
        newest = max(self.points, key=lambda point: (point.made_at, point.id), default=None)
        of_newest = {side.database for side in newest.sql} if newest else set()
        names = self.current or of_newest or self.backups.keys()
        return {name: backups for name, backups in self.backups.items() if name in names}


@dataclass(frozen=True)
class Resolution:
    """What would be restored under one policy.

    ``point`` is the recovery point of the vector side, None where its set belongs to none; ``sql_point`` is
    the instant that SQL Server is restored to (UTC; where it is the end of a log backup, when that began);
    where SQL Server is left alone, it is when the snapshots had ended. ``newest`` is the end of the newest
    backup of each database, restored or not.
    """

    policy: Policy
    point: RecoveryPoint | None
    set_id: str | None
    chains: Mapping[str, Chain]
    sql_point: datetime
    newest: Mapping[str, datetime]

    @property
    def hints(self) -> tuple[SqlHint, ...]:
        """Every SQL backup that is used; their manifests must be read and agree."""
        return tuple(backup for found in self.chains.values() for backup in found.backups)


@dataclass(frozen=True)
class Resolved:
    """One resolution per policy that is possible, and why the others are not."""

    resolutions: tuple[Resolution, ...]
    impossible: Mapping[Policy, str]


Moment = Literal["latest"] | PointTarget | TimeTarget
"""What can be restored to; everything but a restore, which is put in service."""


def resolve(request: PlanRequest, known: Known, now: datetime) -> Resolved:
    """Turn a request into what is restored; "latest" is resolved now.

    A recovery point needs no policy: it is restored as the pair that it is. Neither does one side alone. For
    anything else, a request without a policy is answered for each.

    Raises:
        InvalidRequestError: ``target_in_the_future``, ``policy_not_applicable``,
            ``stores_contradict_agents``, ``not_a_moment``, ``needs_sqlserver``, ``migration_script_unused``.
        NotFoundError: ``recovery_point_unknown``.
        NothingToRestoreError: no policy leads to anything; its code is the reason's.
    """
    target = request.target
    if isinstance(target, RestoreTarget):
        raise InvalidRequestError(
            f"Restore {target.restore} is no moment that anything could be restored to.",
            "Give a recovery point, a time or latest. A restore is put in service by a plan of its own.",
            code="not_a_moment",
        )
    _check(request, known, now)
    known = _on_its_timeline(target, known)
    resolutions: list[Resolution] = []
    problems: dict[Policy, NothingToRestoreError] = {}
    for policy in _policies(request):
        try:
            resolutions.append(_BY_POLICY[policy](target, sides_of(request), known))
        except NothingToRestoreError as problem:
            problems[policy] = problem
    if not resolutions:
        raise next(iter(problems.values()))
    return Resolved(tuple(resolutions), {policy: problem.message for policy, problem in problems.items()})


def _on_its_timeline(target: Moment, known: Known) -> Known:
    """Without the recovery points, and their sets, that a restore in place has left behind since.

    Somebody who asks for one of them by name wants to go back to that timeline.
    """
    if isinstance(target, PointTarget):
        return known
    left = left_behind(known.points, known.backups, target.time if isinstance(target, TimeTarget) else None)
    ids = {point.id for point in left}
    sets = {point.vectors.snapshot_set_id for point in left}
    return replace(
        known,
        points=[point for point in known.points if point.id not in ids],
        sets=[hint for hint in known.sets if hint.id not in sets],
    )


def _policies(request: PlanRequest) -> tuple[Policy, ...]:
    if isinstance(request.target, PointTarget):
        return (Policy.PAIRED,)
    if not all(sides_of(request)):
        return (Policy.LATEST_SQL,)
    return (request.policy,) if request.policy else (Policy.PAIRED, Policy.LATEST_SQL)


def _check(request: PlanRequest, known: Known, now: datetime) -> None:
    if isinstance(request.target, PointTarget) and request.policy is Policy.LATEST_SQL:
        raise InvalidRequestError(
            "A recovery point is restored as the pair that it is; latest_sql does not apply to it.",
            "Leave the policy out, or give a time as target.",
            code="policy_not_applicable",
        )
    demand_sensible(request)
    if not isinstance(request.target, TimeTarget):
        return
    time = request.target.time
    if time > now:
        raise InvalidRequestError(
            f"The target {said(time)} is in the future; it is {said(now)} now.",
            'Give an instant that has passed, in UTC, or "latest".',
            code="target_in_the_future",
        )
    for database, backups in known.in_use.items() if sides_of(request).sql else ():
        ends = [backup.finished_at for backup in backups if backup.kind == "full" and not backup.is_damaged]
        if ends and time < min(ends):
            raise NothingToRestoreError(
                f"The target {said(time)} is before the first full backup of {database} had ended, at "
                f"{said(min(ends))}; the newest backup ended at {said(_newest(backups))}.",
                "Choose an instant between the two.",
                code="target_before_first_backup",
            )


def _newest(backups: Sequence[SqlHint]) -> datetime:
    return max(backup.finished_at for backup in backups if not backup.is_damaged)


def _paired(target: Moment, wanted: Sides, known: Known) -> Resolution:
    point = pair(known.points, target)
    if isinstance(point, NoPair):
        kind = NotFoundError if point.code == "recovery_point_unknown" else NothingToRestoreError
        raise kind(
            point.reason, "octopus-backup list shows every recovery point and its state.", code=point.code
        )
    if wanted == Sides(sql=True, vectors=False) and not point.sql:
        raise NothingToRestoreError(
            f"Recovery point {point.id} has no SQL Server side.",
            "Restore its vectors, or give a time as target.",
            code="no_sql_side",
        )
    sides = point.sql if wanted.sql else ()
    chains = {side.database: _reach(known, side.database, _place_of(side)) for side in sides}
    set_id = point.vectors.snapshot_set_id if wanted.vectors else None
    sql_point = sql_time(point) if wanted.sql else point.vectors.finished_at
    return _resolution(Policy.PAIRED, point, set_id, chains, sql_point, known)


def _place_of(side: SqlSide) -> ChainTarget:
    if side.mark_name is None or side.mark_lsn is None:
        return ToLogEnd(side.log_backup_id)
    return ToLsn(side.mark_lsn, side.mark_name, side.log_backup_id)


def _latest_sql(target: Moment, wanted: Sides, known: Known) -> Resolution:
    if not wanted.sql:
        vectors = _newest_vectors(target, known)
        return _resolution(Policy.LATEST_SQL, vectors.point, vectors.set_id, {}, vectors.finished_at, known)
    end = ToTime(target.time) if isinstance(target, TimeTarget) else ToLatest()
    chains = {database: _reach(known, database, end) for database in known.in_use}
    if not chains:
        raise NothingToRestoreError(
            "There is no database whose backups could be restored.",
            "The policy latest_sql needs SQL Server; without it, ask for a recovery point.",
            code="no_full_backup",
        )
    sql_point = min(found.not_before for found in chains.values())
    if not wanted.vectors:
        return _resolution(Policy.LATEST_SQL, None, None, chains, sql_point, known)
    whole = {
        backup.id
        for found in chains.values()
        for backup in (found.backups[:-1] if found.stop_inside else found.backups)
    }
    behind = vectors_before(known.points, known.sets, sql_point, whole)
    if not isinstance(behind, NoPair):
        return _resolution(Policy.LATEST_SQL, behind.point, behind.set_id, chains, sql_point, known)
    if known.sets:
        raise NothingToRestoreError(behind.reason, "Choose a later target.", code=behind.code)
    return _resolution(Policy.LATEST_SQL, None, None, chains, sql_point, known)


def _newest_vectors(target: Moment, known: Known) -> VectorChoice:
    """The newest complete set; for a time, the newest that had ended by then.

    SQL Server stays at now, and every set that exists ended before now: no two clocks are compared, and
    no margin is needed.
    """
    points = [point for point in known.points if point.complete and breach(point) is None]
    choices = [VectorChoice(one.vectors.snapshot_set_id, one.vectors.finished_at, one) for one in points]
    paired = {choice.set_id for choice in choices}
    choices += [
        VectorChoice(hint.id, hint.finished_at, None)
        for hint in known.sets
        if hint.complete and hint.id not in paired
    ]
    when = ""
    if isinstance(target, TimeTarget):
        time = target.time
        when = f" that had ended at {said(time)}"
        choices = [choice for choice in choices if choice.finished_at <= time]
    if not choices:
        raise NothingToRestoreError(
            f"There is no complete snapshot set{when}.",
            "octopus-backup list shows every set and its state. An incomplete recovery point is restored "
            "when it is asked for by its id.",
            code="no_vectors_before_target",
        )
    return max(choices, key=lambda choice: (choice.finished_at, choice.set_id))


_BY_POLICY: dict[Policy, Callable[[Moment, Sides, Known], Resolution]] = {
    Policy.PAIRED: _paired,
    Policy.LATEST_SQL: _latest_sql,
}


def _resolution(
    policy: Policy,
    point: RecoveryPoint | None,
    set_id: str | None,
    chains: Mapping[str, Chain],
    sql_point: datetime,
    known: Known,
) -> Resolution:
    newest = {database: _newest(known.backups[database]) for database in chains}
    return Resolution(policy, point, set_id, chains, sql_point, newest)


def _reach(known: Known, database: str, target: ChainTarget) -> Chain:
    found = chain(known.backups.get(database, ()), target)
    if not isinstance(found, NoChain):
        return found
    nearest = [said(time) for time in (found.before, found.after) if time]
    windows = "; ".join(str(window) for window in found.windows[-5:])
    hints = [
        f"The nearest restorable instant is {' or '.join(nearest)}." if nearest else "",
        f"Restorable: {windows}." if windows else "Make a full backup, then log backups.",
    ]
    raise NothingToRestoreError(
        f"{database}: {found.reason}", " ".join(hint for hint in hints if hint), code=found.code
    )
