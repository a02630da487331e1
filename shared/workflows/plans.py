"""Makes plans from what was gathered, keeps them, and looks whether one still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from shared.blob import copy, download
from shared.catalogue import paths
from shared.composition import System
from shared.errors import IntegrityError, InvalidRequestError, InvalidSettingsError, NotFoundError
from shared.model.backups import BlobRef, QdrantFacts
from shared.model.findings import Finding, Severity
from shared.model.plans import Migrations, Plan, PlanRequest, Policy, RestoreTarget, TargetState
from shared.model.runs import Run, RunKind, State
from shared.octopus.migrations import LARGEST_SCRIPT, read_script
from shared.planning.changes import changes
from shared.planning.erasing import erased_users
from shared.planning.names import demand_unreserved
from shared.planning.resolving import Known, Resolution, Resolved, resolve
from shared.planning.restore import PlanInputs, plan_restore
from shared.planning.service import ServiceInputs, put_in_service
from shared.planning.steps import blobs_of, files_of
from shared.workflows.gathering import (
    ONLINE,
    Chosen,
    Live,
    chosen,
    episodes_now,
    files_now,
    known,
    live,
    points_now,
    without,
)
from shared.workflows.measuring import explained
from shared.workflows.preflight import with_preflight

__all__ = ["changes_since", "known", "make_plans", "plan_inputs"]

MOST_DETOURS = 5
"""So often a chain is looked for that does without files that are gone; each time all of them are found that
the last one would have used."""

RECENT_RESTORES = 50
"""Restores that are looked at for one that has put another in service."""


def make_plans(system: System, request: PlanRequest) -> list[Plan]:
    """Plan a restore and keep the plan; one plan, or one per policy where the request names none.

    Args:
        system: the system; its servers are asked what is there, nothing is touched. A plan that runs a
            command is made only where ``commands_allowed`` is set.
        request: what a person asks for.

    Raises:
        InvalidRequestError, NotFoundError, NothingToRestoreError: it cannot be planned; says why.
        RefusedError: it would not be safe.
        InvalidSettingsError: the migration script or command that is asked for is not set.
        UnreachableError: a server, or the storage, does not answer.
        IntegrityError: what a plan would use is not what the catalogue says.
    """
    demand_unreserved(request.names.values())
    text = _demand_migrations(system, request)
    what = known(system)
    if isinstance(request.target, RestoreTarget):
        made = [put_in_service(_service_inputs(system, request, request.target.restore))]
    else:
        made = [with_preflight(system, plan) for plan in _restores(system, request, what, text)]
    plans = explained(system, made, what)
    users = erased_users(request.erase_users)
    for plan in plans:
        if users:
            system.catalogue.plans.save_erasures(plan.id, users)
        system.catalogue.plans.save(plan)
    return plans


def _demand_migrations(system: System, request: PlanRequest) -> bytes | None:
    """The text of the script that came with the request, read once to see that it can be executed.

    Raises:
        InvalidRequestError: ``migration_command_cli_only``; or the script cannot be used.
        InvalidSettingsError: the script or command is not set.
    """
    octopus, how = system.settings.octopus, request.migrations
    if how is Migrations.COMMAND and not system.commands_allowed:
        raise InvalidRequestError(
            "A command for the migrations is run by the command line only.",
            "Plan with `octopus-backup plan … --migrations command`, or with a script.",
            code="migration_command_cli_only",
        )
    if how is Migrations.COMMAND and not octopus.migration_command:
        raise InvalidSettingsError(
            "OCTOPUS_MIGRATION_COMMAND is not set.", "Set it, or plan with a script or a check instead."
        )
    if how is Migrations.SCRIPT and request.migration_script is None and not octopus.migration_script:
        raise InvalidSettingsError(
            "OCTOPUS_MIGRATION_SCRIPT is not set, and the request holds no script.",
            "Set it to the name of a blob in the container catalogue, or give the script with the request.",
        )
    if how is not Migrations.SCRIPT or request.migration_script is None:
        return None
    text = request.migration_script.encode()
    read_script(text)
    return text


def _restores(system: System, request: PlanRequest, what: Known, text: bytes | None) -> list[Plan]:
    resolved, used = _resolved(system, request, what)
    wanted = resolved.resolutions
    now = live(
        system, sql=any(one.chains for one in wanted), vectors=any(one.set_id is not None for one in wanted)
    )
    episodes = episodes_now(system, _online(wanted, now))
    points = points_now(system, _collections(used) & now.collections.keys())
    script = _script_of_settings(system, request)
    made = []
    for resolution in wanted:
        inputs = _inputs(system, request, resolution, used, now)
        if text is not None:
            script = system.catalogue.plans.save_script(inputs.plan_id, text.decode())
        inputs = replace(inputs, script=script, episodes_now=episodes, points_now=points)
        made.append(plan_restore(inputs))
    others = tuple(
        Finding(
            code="policy_impossible",
            severity=Severity.INFO,
            message=f"There is no plan under the policy {policy}. {why}",
        )
        for policy, why in resolved.impossible.items()
    )
    return [plan.model_copy(update={"findings": plan.findings + others}) for plan in made]


def _resolved(system: System, request: PlanRequest, what: Known) -> tuple[Resolved, Chosen]:
    """What the request stands for, by backups whose files are all there.

    A set of which files are gone is used where a person has asked for its recovery point: the plan says what
    is missing.
    """
    now = system.clock.now()
    for _ in range(MOST_DETOURS):
        resolved = resolve(request, what, now)
        used = chosen(system, resolved.resolutions)
        sets = {one.set_id for one in resolved.resolutions}
        flaws = used.flaws()
        known_flaws = {one.vectors.snapshot_set_id for one in what.points if not one.complete}
        if not flaws.keys() - (known_flaws & sets):
            return resolved, used
        what = without(what, flaws)
    raise IntegrityError(
        f"Files of too many backups are gone, such as those of backup {next(iter(flaws))}: "
        f"{next(iter(flaws.values()))}.",
        "Find out who removes blobs from the container data. Verify the backups, then plan again.",
        code="files_gone",
    )


def _online(resolutions: Iterable[Resolution], now: Live) -> set[str]:
    """The databases that are there now and go back to a recovery point, whose rows are known."""
    states = {name.casefold(): state for name, state in now.databases.items()}
    paired = [one for one in resolutions if one.policy is Policy.PAIRED]
    return {name for one in paired for name in one.chains if states.get(name.casefold()) == ONLINE}


def _collections(used: Chosen) -> set[str]:
    """The collections of the sets that are used."""
    facts = [manifest.facts for manifest in used.manifests.values()]
    return {one.name for sets in facts if isinstance(sets, QdrantFacts) for one in sets.collections}


def plan_inputs(system: System, request: PlanRequest, resolution: Resolution) -> PlanInputs:
    """Everything that the plan of one policy is made of, but for counts and a migration script.

    Raises:
        NotFoundError, IntegrityError: what it uses is gone, or is not what the catalogue says.
        UnreachableError, NotPermittedError, StoreError: a server or the storage does not answer as it should.
    """
    used = chosen(system, [resolution])
    now = live(system, sql=bool(resolution.chains), vectors=resolution.set_id is not None)
    return _inputs(system, request, resolution, used, now)


def _inputs(
    system: System, request: PlanRequest, resolution: Resolution, used: Chosen, now: Live
) -> PlanInputs:
    if resolution.point:  # it was chosen by its outline
        resolution = replace(resolution, point=system.catalogue.points.behind(resolution.point))
    octopus = system.settings.octopus
    return PlanInputs(
        plan_id=system.new_id(),
        now=system.clock.now(),
        request=request,
        resolution=resolution,
        manifests=used.manifests,
        snapshot_set=used.manifests[resolution.set_id] if resolution.set_id else None,
        databases=now.databases,
        collections=now.collections,
        aliases=now.aliases,
        qdrant_versions=now.qdrant_versions,
        settings=system.settings.fingerprint(),
        octopus_api=system.octopus is not None,
        free_bytes=system.settings.qdrant.free_bytes,
        has_qdrant=system.has_qdrant,
        tiers=used.tiers,
        gone=used.gone(resolution.set_id),
        stop_hook=octopus.stop_hook is not None,
        start_hook=octopus.start_hook is not None,
        live_database=now.live_database,
        live_agents=now.live_agents,
    )


def _script_of_settings(system: System, request: PlanRequest) -> BlobRef | None:
    """The script that the settings name, hashed; None where none is executed, or it came with the request.

    Raises:
        NotFoundError: there is no such blob.
        InvalidRequestError: it is too large, or cannot be used.
    """
    name = system.settings.octopus.migration_script
    if request.migrations is not Migrations.SCRIPT or request.migration_script is not None or not name:
        return None
    try:
        ref = copy.reference(system.storage, paths.CATALOGUE, name)
    except IntegrityError:
        raise NotFoundError(
            f"OCTOPUS_MIGRATION_SCRIPT names {name}, and there is no such blob in {paths.CATALOGUE}.",
            "Upload the script there, or give it with the request.",
            code="migration_script_unknown",
        ) from None
    if ref.size > LARGEST_SCRIPT:
        raise InvalidRequestError(
            f"The migration script {name} measures {ref.size:,} bytes; at most {LARGEST_SCRIPT:,} are read.",
            "Make it from the migrations that are missing only: `dotnet ef migrations script FROM TO`.",
            code="migration_script",
        )
    raw = b"".join(download.read(system.storage, ref))
    read_script(raw)
    return ref.model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})


def _service_inputs(system: System, request: PlanRequest, run_id: str) -> ServiceInputs:
    run = system.catalogue.runs.find(run_id)
    plan_id = run.request.get("plan_id")
    if plan_id is None:
        raise InvalidRequestError(
            f"Run {run.id} is no restore.", "GET /api/restores lists the restores.", code="not_a_restore"
        )
    earlier = system.catalogue.plans.get(plan_id)
    set_id = earlier.execution.target.snapshot_set_id
    manifest = system.catalogue.backups.get(set_id) if set_id else None
    seen = files_now(system, manifest.blobs) if manifest else {}
    now = live(system, sql=bool(earlier.execution.target_state.databases), vectors=set_id is not None)
    octopus = system.settings.octopus
    return ServiceInputs(
        plan_id=system.new_id(),
        now=system.clock.now(),
        request=request,
        run=run,
        earlier=earlier,
        served_by=_served_by(system, run),
        snapshot_set=manifest,
        databases=now.databases,
        collections=now.collections,
        aliases=now.aliases,
        qdrant_versions=now.qdrant_versions,
        settings=system.settings.fingerprint(),
        octopus_api=system.octopus is not None,
        free_bytes=system.settings.qdrant.free_bytes,
        tiers={name: one.tier for name, one in seen.items() if one.tier},
        stop_hook=octopus.stop_hook is not None,
        start_hook=octopus.start_hook is not None,
        live_database=now.live_database,
    )


def _served_by(system: System, run: Run) -> str | None:
    """The restore that has put this one in service."""
    for later in _later(system, run):
        if later.state is State.SUCCEEDED:
            plan = system.catalogue.plans.get(later.request["plan_id"])
            if plan.execution.serves == run.id:
                return later.id
    return None


def _later(system: System, run: Run) -> Iterator[Run]:
    for other in system.catalogue.runs.recent(RunKind.RESTORE, RECENT_RESTORES):
        if other.started_at > run.started_at and "plan_id" in other.request:
            yield other


def changes_since(system: System, plan: Plan, *, resuming: bool = False) -> list[str]:
    """What is no longer as it was when the plan was made, in sentences; empty if it may start.

    Args:
        system: the system.
        plan: as it was shown.
        resuming: whether its restore has begun, so that its targets have changed by its own hand.
    """
    state = plan.execution.target_state if resuming else _state_now(system, plan)
    now = plan.made_at if resuming else system.clock.now()  # what was begun in time may be ended
    seen = files_now(system, blobs_of(plan.execution.steps))
    blobs = {
        name: (seen[name].size, seen[name].etag) if name in seen else None
        for name, _, _ in files_of(plan.execution.steps)
    }
    return changes(plan, state, system.settings.fingerprint(), blobs, now)


def _state_now(system: System, plan: Plan) -> TargetState:
    then = plan.execution.target_state
    databases = system.sqlserver.databases() if then.databases else {}
    states = {name.casefold(): state for name, state in databases.items()}
    qdrant = system.qdrant.presence() if then.collections or then.aliases else None
    names, aliases = (set(qdrant.names), qdrant.aliases) if qdrant else (set(), {})
    return TargetState(
        databases={name: states.get(name.casefold(), "absent") for name in then.databases},
        collections={name: name in names for name in then.collections},
        aliases={alias: aliases.get(alias, "") for alias in then.aliases},
    )
