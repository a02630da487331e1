"""Gathers what the pure planner needs, keeps what it answers, and looks whether a plan still holds."""

from __future__ import annotations

from collections.abc import Container, Iterable

from shared.blob import copy
from shared.composition import System
from shared.errors import IntegrityError
from shared.model.findings import Finding, Severity
from shared.model.hints import SqlHint
from shared.model.plans import Plan, PlanRequest, TargetState
from shared.model.points import RecoveryPoint
from shared.planning.changes import changes
from shared.planning.resolving import Known, Resolution, resolve
from shared.planning.restore import PlanInputs, plan_restore
from shared.planning.steps import files_of


def make_plans(system: System, request: PlanRequest) -> list[Plan]:
    """Plan a restore and keep the plan; one plan, or one per policy where the request names none.

    Args:
        system: the system; its servers are asked what is there, nothing is touched.
        request: what a person asks for.

    Raises:
        InvalidRequestError, NotFoundError, NothingToRestoreError: it cannot be planned; says why.
        UnreachableError: a server, or the storage, does not answer.
        IntegrityError: what a plan would use is not what the catalogue says.
    """
    now = system.clock.now()
    resolved = resolve(request, known(system), now)
    others = tuple(
        Finding(
            code="policy_impossible",
            severity=Severity.INFO,
            message=f"There is no plan under the policy {policy}. {why}",
        )
        for policy, why in resolved.impossible.items()
    )
    made = [_plan(system, request, resolution) for resolution in resolved.resolutions]
    plans = [plan.model_copy(update={"findings": plan.findings + others}) for plan in made]
    for plan in plans:
        system.catalogue.plans.save(plan)
    return plans


def known(system: System) -> Known:
    """What the catalogue knows, without what a verification found damaged."""
    damaged = system.catalogue.backups.damaged()
    points = [
        point.model_copy(
            update={"complete": False, "reasons": (*point.reasons, "its snapshot set was found damaged")}
        )
        if point.vectors.snapshot_set_id in damaged
        else point
        for point in system.catalogue.points.all()
    ]
    sets = [hint for hint in system.catalogue.backups.set_hints() if hint.id not in damaged]
    current = frozenset(system.settings.sqlserver.databases) if system.has_sqlserver else frozenset()
    return Known(points, sets, _backups(system, points, damaged), current)


def _backups(
    system: System, points: Iterable[RecoveryPoint], damaged: Container[str]
) -> dict[str, list[SqlHint]]:
    """The backups of each database, of every server that it was ever backed up on.

    After a total loss the server that answers now can have another name than the one that was lost. Backups
    of different databases that bore the same name are told apart by their family, in the chain.
    """
    databases = set(system.settings.sqlserver.databases) if system.has_sqlserver else set()
    databases |= {side.database for point in points for side in point.sql}
    found: dict[str, list[SqlHint]] = {}
    for hint in system.catalogue.backups.all_sql_hints():
        if hint.database in databases:
            sound = hint if hint.id not in damaged else hint.model_copy(update={"is_damaged": True})
            found.setdefault(hint.database, []).append(sound)
    return found


def _plan(system: System, request: PlanRequest, resolution: Resolution) -> Plan:
    manifests = {hint.id: system.catalogue.backups.chosen(hint) for hint in resolution.hints}
    snapshot_set = system.catalogue.backups.get(resolution.set_id) if resolution.set_id else None
    qdrant = system.qdrant.inspect() if snapshot_set else None
    return plan_restore(
        PlanInputs(
            plan_id=system.new_id(),
            now=system.clock.now(),
            request=request,
            resolution=resolution,
            manifests=manifests,
            snapshot_set=snapshot_set,
            databases=system.sqlserver.databases() if resolution.chains else {},
            collections=dict.fromkeys(qdrant.names, True) if qdrant else {},
            aliases=qdrant.aliases if qdrant else {},
            qdrant_versions=qdrant.versions if qdrant else {},
            settings=system.settings.fingerprint(),
            octopus_api=system.octopus is not None,
            free_bytes=system.settings.qdrant.free_bytes,
        )
    )


def changes_since(system: System, plan: Plan, *, resuming: bool = False) -> list[str]:
    """What is no longer as it was when the plan was made, in sentences; empty if it may start.

    Args:
        system: the system.
        plan: as it was shown.
        resuming: whether its restore has begun, so that its targets have changed by its own hand.
    """
    state = plan.execution.target_state if resuming else _state_now(system, plan)
    now = plan.made_at if resuming else system.clock.now()  # what was begun in time may be ended
    return changes(plan, state, system.settings.fingerprint(), _blobs_now(system, plan), now)


def _state_now(system: System, plan: Plan) -> TargetState:
    then = plan.execution.target_state
    databases = system.sqlserver.databases() if then.databases else {}
    states = {name.casefold(): state for name, state in databases.items()}
    qdrant = system.qdrant.inspect() if then.collections or then.aliases else None
    names, aliases = (set(qdrant.names), qdrant.aliases) if qdrant else (set(), {})
    return TargetState(
        databases={name: states.get(name.casefold(), "absent") for name in then.databases},
        collections={name: name in names for name in then.collections},
        aliases={alias: aliases.get(alias, "") for alias in then.aliases},
    )


def _blobs_now(system: System, plan: Plan) -> dict[str, tuple[int, str] | None]:
    found: dict[str, tuple[int, str] | None] = {}
    for path, _, _ in files_of(plan.execution.steps):
        container, _, name = path.partition("/")
        try:
            blob = copy.reference(system.storage, container, name)
        except IntegrityError:
            found[path] = None
        else:
            found[path] = (blob.size, blob.etag)
    return found
