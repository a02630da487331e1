"""What a drill restores, and how old that is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.composition import System
from shared.errors import RefusedError
from shared.model.backups import QdrantFacts
from shared.model.findings import Severity
from shared.model.plans import Plan, PlanRequest, PointTarget, Policy
from shared.model.points import RecoveryPoint
from shared.planning.drill_figures import Age
from shared.planning.drilling import as_drill, not_restored, prefix_at, scratch_names
from shared.planning.resolving import Known, resolve
from shared.planning.restore import plan_restore
from shared.planning.windows import restorable_windows
from shared.workflows.plans import plan_inputs


def drill_plan(practised: System, named: str | None, what: Known) -> Plan:
    """The plan of a drill: the restore of a recovery point, under scratch names.

    Args:
        practised: the system with the servers that drills restore to.
        named: the recovery point, by id or name; the newest complete one if None.
        what: what the catalogue knows.

    Raises:
        RefusedError: the plan itself says why it must not be executed.
        BackupSystemError: as ``make_plans``.
    """
    now = practised.clock.now()
    request = PlanRequest(
        target=PointTarget(recovery_point=named) if named else "latest",
        policy=None if named else Policy.PAIRED,
        confirm_space=practised.settings.qdrant.free_bytes is None,  # nobody is there to be asked
    )
    (resolution,) = resolve(request, what, now).resolutions
    inputs = plan_inputs(practised, request, resolution)
    names = scratch_names(plan_restore(inputs), prefix_at(now))
    plan = plan_restore(replace(inputs, request=request.model_copy(update={"names": names})))
    stops = [finding for finding in plan.findings if finding.severity is Severity.ERROR]
    if stops:
        raise RefusedError(stops[0].message, stops[0].hint, code=stops[0].code)
    facts = inputs.snapshot_set.facts if inputs.snapshot_set else None
    vectors = facts if isinstance(facts, QdrantFacts) else None
    point = inputs.resolution.point
    return as_drill(plan, not_restored(plan, point, vectors) if point else ())


def ages(system: System, what: Known, point: RecoveryPoint, now: datetime) -> Age:
    """How old what can be restored is at an instant (UTC)."""
    ends = {
        database: max((window.end for window in restorable_windows(backups)), default=None)
        for database, backups in what.in_use.items()
    }
    worst = [ends.get(database) for database in system.settings.sqlserver.databases]
    reached = [end for end in worst if end is not None]
    sets = [hint.finished_at for hint in what.sets if hint.complete]

    def age(moment: datetime | None) -> float | None:
        return (now - moment).total_seconds() if moment else None

    sqlserver = age(min(reached)) if reached and len(reached) == len(worst) else None
    qdrant = age(max(sets, default=None))
    return Age(
        point=age(min((side.at for side in point.sql), default=point.vectors.finished_at)),
        sqlserver=sqlserver,
        qdrant=qdrant,
        lost=sqlserver if system.has_sqlserver else qdrant,
    )
