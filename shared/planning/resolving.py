"""What a request stands for: which recovery point, which snapshot set, which chain per database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.errors import InvalidRequestError, NotFoundError, NothingToRestoreError
from shared.model.hints import SetHint, SqlHint
from shared.model.plans import PlanRequest, PointTarget, Policy, RestoreTarget, TimeTarget
from shared.model.points import RecoveryPoint, SqlSide
from shared.planning.chains import Chain, ChainTarget, NoChain, ToLatest, ToLogEnd, ToLsn, ToTime, chain
from shared.planning.consistency import NoPair, pair, sql_time, vectors_before
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
    ``newest`` is the end of the newest backup of each database, restored or not.
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


def resolve(request: PlanRequest, known: Known, now: datetime) -> Resolved:
    """Turn a request into what is restored; "latest" is resolved now.

    A recovery point needs no policy: it is restored as the pair that it is. For anything else, a request
    without a policy is answered for each.

    Raises:
        InvalidRequestError: ``target_in_the_future``, ``policy_not_applicable``.
        NotFoundError: ``recovery_point_unknown``.
        NothingToRestoreError: no policy leads to anything; its code is the reason's.
    """
    _check(request, known, now)
    resolutions: list[Resolution] = []
    problems: dict[Policy, NothingToRestoreError] = {}
    for policy in _policies(request):
        try:
            resolutions.append(_BY_POLICY[policy](request, known))
        except NothingToRestoreError as problem:
            problems[policy] = problem
    if not resolutions:
        raise next(iter(problems.values()))
    return Resolved(tuple(resolutions), {policy: problem.message for policy, problem in problems.items()})


def _policies(request: PlanRequest) -> tuple[Policy, ...]:
    if isinstance(request.target, PointTarget):
        return (Policy.PAIRED,)
    return (request.policy,) if request.policy else (Policy.PAIRED, Policy.LATEST_SQL)


def _check(request: PlanRequest, known: Known, now: datetime) -> None:
    if isinstance(request.target, RestoreTarget):
        raise InvalidRequestError(
            "A restore is put in service by a plan of its own kind.", code="not_a_moment"
        )
    if isinstance(request.target, PointTarget) and request.policy is Policy.LATEST_SQL:
        raise InvalidRequestError(
            "A recovery point is restored as the pair that it is; latest_sql does not apply to it.",
            "Leave the policy out, or give a time as target.",
            code="policy_not_applicable",
        )
    if not isinstance(request.target, TimeTarget):
        return
    time = request.target.time
    if time > now:
        raise InvalidRequestError(
            f"The target {said(time)} is in the future; it is {said(now)} now.",
            'Give an instant that has passed, in UTC, or "latest".',
            code="target_in_the_future",
        )
    for database, backups in known.in_use.items():
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


def _paired(request: PlanRequest, known: Known) -> Resolution:
    if isinstance(request.target, RestoreTarget):
        raise TypeError("a restore that is put in service has no pair")
    point = pair(known.points, request.target)
    if isinstance(point, NoPair):
        kind = NotFoundError if point.code == "recovery_point_unknown" else NothingToRestoreError
        raise kind(
            point.reason, "octopus-backup list shows every recovery point and its state.", code=point.code
        )
    chains = {side.database: _reach(known, side.database, _place_of(side)) for side in point.sql}
    return _resolution(Policy.PAIRED, point, point.vectors.snapshot_set_id, chains, sql_time(point), known)


def _place_of(side: SqlSide) -> ChainTarget:
    if side.mark_name is None or side.mark_lsn is None:
        return ToLogEnd(side.log_backup_id)
    return ToLsn(side.mark_lsn, side.mark_name, side.log_backup_id)


def _latest_sql(request: PlanRequest, known: Known) -> Resolution:
    target = ToTime(request.target.time) if isinstance(request.target, TimeTarget) else ToLatest()
    chains = {database: _reach(known, database, target) for database in known.in_use}
    if not chains:
        raise NothingToRestoreError(
            "There is no database whose backups could be restored.",
            "The policy latest_sql needs SQL Server; without it, ask for a recovery point.",
            code="no_full_backup",
        )
    sql_point = min(found.not_before for found in chains.values())
    whole = {
        backup.id
        for found in chains.values()
        for backup in (found.backups[:-1] if found.stop_inside else found.backups)
    }
    vectors = vectors_before(known.points, known.sets, sql_point, whole)
    if not isinstance(vectors, NoPair):
        return _resolution(Policy.LATEST_SQL, vectors.point, vectors.set_id, chains, sql_point, known)
    if known.sets:
        raise NothingToRestoreError(vectors.reason, "Choose a later target.", code=vectors.code)
    return _resolution(Policy.LATEST_SQL, None, None, chains, sql_point, known)


_BY_POLICY: dict[Policy, Callable[[PlanRequest, Known], Resolution]] = {
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
