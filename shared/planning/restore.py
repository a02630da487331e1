"""The restore plan: what would be done in which order, what is consistent with what, what is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ulid import ULID

from shared.errors import NothingToRestoreError
from shared.model.backups import BlobRef, Manifest, QdrantFacts
from shared.model.plans import (
    Execution,
    Plan,
    PlanRequest,
    Policy,
    ResolvedTarget,
    Stop,
    TargetState,
)
from shared.planning.erasing import erased_users, list_sha256
from shared.planning.findings import findings
from shared.planning.names import Existing, Names, choose_names
from shared.planning.resolving import Resolution
from shared.planning.selecting import Agents, Selection, Wish, select
from shared.planning.space import space_needed
from shared.planning.stages import aliases_of, steps_of
from shared.planning.steps import Api, Extras, Work, files_of
from shared.planning.telling import Story, consistency, losses, some, summary

VALID_FOR = timedelta(hours=24)
"""A plan that is older describes a world that has moved on: more backups, other targets."""


@dataclass(frozen=True, kw_only=True)
class PlanInputs:
    """Everything that a plan is made of; nothing else is looked at.

    ``plan_id`` is a ULID, ``now`` is UTC. ``resolution`` is what :func:`shared.planning.resolving.resolve`
    gave for one policy; ``manifests`` holds its SQL backups by id, ``snapshot_set`` is the manifest of its
    set. ``databases`` (name → state_desc) and ``collections`` (name → whether it exists) are what is on the
    targets; ``aliases`` (alias → its collection) are the names among them that are no collections.
    ``qdrant_versions`` is peer id → version of the Qdrant that is restored to, ``settings`` the
    settings' fingerprint, ``free_bytes`` the free space on each Qdrant peer where somebody knows it.

    ``has_qdrant`` tells that there is a Qdrant, restored or not; ``tiers`` is the access tier of the chosen
    files by ``container/name``, ``gone`` those of them that are not there any more. ``stop_hook`` and
    ``start_hook`` tell whether the Octopus API can be stopped and started. ``script`` is the migration
    script, with its SHA-256. ``live_database`` and ``live_agents`` are what Octopus works with now, None
    where it could not be asked. ``episodes_now`` (by database) and ``points_now`` (by collection) count
    what is there now, as far as that could be had.
    """

    plan_id: str
    now: datetime
    request: PlanRequest
    resolution: Resolution
    manifests: Mapping[str, Manifest]
    snapshot_set: Manifest | None
    databases: Mapping[str, str]
    collections: Mapping[str, bool]
    aliases: Mapping[str, str] = field(default_factory=dict)
    qdrant_versions: Mapping[str, str]
    settings: str
    octopus_api: bool
    free_bytes: int | None
    has_qdrant: bool = False
    tiers: Mapping[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    stop_hook: bool = False
    start_hook: bool = False
    script: BlobRef | None = None
    live_database: str | None = None
    live_agents: frozenset[str] | None = None
    episodes_now: Mapping[str, int] = field(default_factory=dict)
    points_now: Mapping[str, int] = field(default_factory=dict)


def plan_restore(inputs: PlanInputs) -> Plan:
    """Make the plan of one policy; the same inputs give the same plan and the same digest.

    Raises:
        InvalidRequestError: a name that was asked for cannot be (see :mod:`shared.planning.names`).
        NothingToRestoreError: only vectors are wanted, and none of them can be restored.
    """
    request, qdrant = inputs.request, _qdrant(inputs.snapshot_set)
    agents = _agents(inputs)
    wish = Wish(named=request.names, agents=request.agents)
    selection = select(qdrant, agents, wish, inputs.gone) if qdrant else _NOTHING
    if not (inputs.resolution.chains or selection.parts):
        raise _nothing(selection)
    names = _names(inputs, selection)
    work = _work(inputs, qdrant, selection, names)
    steps = steps_of(work, inputs.tiers)
    execution = Execution(
        target=_target(inputs.resolution),
        policy=inputs.resolution.policy,
        stores=tuple(sorted(set(request.stores))),
        agents=tuple(sorted(set(request.agents))),
        in_place=request.in_place,
        steps=steps,
        target_state=_state(inputs, work),
        settings=inputs.settings,
    )
    space = space_needed(work, inputs.qdrant_versions)
    story = Story(
        request=request,
        resolution=inputs.resolution,
        qdrant=qdrant,
        selection=selection,
        work=work,
        now=inputs.now,
        live_aliases=frozenset(inputs.aliases),
        live_versions=inputs.qdrant_versions,
        agents_known=agents.known is not None,
        episodes_now=inputs.episodes_now,
        points_now=inputs.points_now,
        gone=inputs.gone,
    )
    chains = work.chains.values()
    return Plan(
        id=inputs.plan_id,
        made_at=inputs.now,
        expires_at=inputs.now + VALID_FOR,
        request=shown(request),
        summary=summary(story),
        consistency=consistency(story),
        chosen=tuple(choice for chain in chains for choice in chain.choices),
        rejected=tuple(choice for chain in chains for choice in chain.rejected),
        losses=losses(story),
        findings=findings(story, steps, space, inputs.free_bytes),
        space=space,
        size=sum(size for _, size, _ in files_of(steps)),
        execution=execution,
        digest=execution.digest(),
    )


_NOTHING = Selection({}, {}, frozenset())


def _qdrant(manifest: Manifest | None) -> QdrantFacts | None:
    return manifest.facts if manifest and isinstance(manifest.facts, QdrantFacts) else None


def shown(request: PlanRequest) -> dict[str, Any]:
    """A request as a plan keeps it: of the erased users and the migration script only a hash."""
    kept = request.model_dump(mode="json")
    users, script = erased_users(request.erase_users), request.migration_script
    kept["erase_users"] = {"users": len(users), "sha256": list_sha256(users)} if users else None
    if script is not None:
        raw = script.encode()
        kept["migration_script"] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    return kept


def _agents(inputs: PlanInputs) -> Agents:
    """The agents after the restore: those at the mark, or, where SQL Server is left alone, those of now.

    Where no mark, or no agent table, told any, nobody can say.
    """
    point = inputs.resolution.point
    sides = point.sql if point else ()
    at_the_mark = frozenset(agent for side in sides for agent in side.agents) or None
    if not inputs.resolution.chains:
        return Agents(known=inputs.live_agents, why="is not known to SQL Server now")
    return Agents(known=at_the_mark, without=point.vectors.without_agent if point else ())


def _nothing(selection: Selection) -> NothingToRestoreError:
    """Why there is nothing to do; only vectors were wanted."""
    if selection.left_out:
        reasons = [f"{name}: {why}" for name, why in selection.left_out.items()]
        return NothingToRestoreError(
            f"No collection of the set can be restored. {some(reasons, 3)}.",
            "Name a collection in names to restore it all the same, or restore SQL Server with it.",
            code="no_collection_left",
        )
    agents = selection.unheld_agents
    whose = f" of the agent(s) {some(agents)}" if agents else ""
    return NothingToRestoreError(
        f"The snapshot set holds no collection{whose}.",
        "Look for another recovery point: octopus-backup list shows them.",
        code="agent_without_collection" if agents else "no_collection_left",
    )


def _names(inputs: PlanInputs, selection: Selection) -> Names:
    existing = Existing(
        [name for name, state in inputs.databases.items() if state != "absent"],
        [name for name, exists in inputs.collections.items() if exists] + list(inputs.aliases),
    )
    without = selection.left_out.keys() - inputs.resolution.chains.keys()  # told as a loss, not refused
    return choose_names(
        inputs.resolution.chains,
        selection.parts,
        {source: name for source, name in inputs.request.names.items() if source not in without},
        existing,
        in_place=inputs.request.in_place,
        stamp=inputs.resolution.sql_point,
    )


def _work(inputs: PlanInputs, qdrant: QdrantFacts | None, selection: Selection, names: Names) -> Work:
    resolution = inputs.resolution
    there = {name.casefold(): state for name, state in inputs.databases.items() if state != "absent"}
    sides = resolution.point.sql if resolution.point else ()
    with_agents = [side.database for side in sides if side.agents and side.database in resolution.chains]
    overwritten = {
        source: there[target.casefold()]
        for source, target in names.databases.items()
        if target.casefold() in there
    }
    return Work(
        chains=resolution.chains,
        manifests=inputs.manifests,
        qdrant=qdrant,
        parts=selection.parts,
        aliases=aliases_of(qdrant, names.collections, inputs.aliases, in_place=inputs.request.in_place),
        names=names,
        overwritten_databases=frozenset(overwritten),
        overwritten_collections=frozenset(
            source for source, target in names.collections.items() if inputs.collections.get(target)
        ),
        tails={
            source: _tail_id(inputs.plan_id, source)
            for source, state in overwritten.items()
            if state == "ONLINE"
        },
        octopus_database=next(iter([*with_agents, *resolution.chains]), inputs.live_database),
        qdrant_there=inputs.has_qdrant,
        api=Api(address=inputs.octopus_api, stop_hook=inputs.stop_hook, start_hook=inputs.start_hook),
        extras=extras_of(inputs.request, inputs.script),
    )


def extras_of(request: PlanRequest, script: BlobRef | None) -> Extras:
    """What a request wants besides the restore itself."""
    users = erased_users(request.erase_users)
    return Extras(
        checkdb=request.checkdb,
        migrations=request.migrations,
        script=script,
        users=len(users),
        list_sha256=list_sha256(users) if users else "",
    )


def _tail_id(plan_id: str, database: str) -> str:
    """A ULID with the time of the plan's own; the rest is made from the plan's id and the database's name."""
    made = hashlib.sha256(f"{plan_id}/{database}".encode("utf-8", "surrogatepass")).digest()
    return str(ULID(ULID.from_str(plan_id).bytes[:6] + made[:10]))


def _target(resolution: Resolution) -> ResolvedTarget:
    stops = [chain.stop for chain in resolution.chains.values()]
    point = resolution.point
    lsns = [side.mark_lsn for side in point.sql] if point and resolution.policy is Policy.PAIRED else []
    return ResolvedTarget(
        recovery_point_id=point.id if point else None,
        snapshot_set_id=resolution.set_id,
        sql_stop=stops[0] if stops else Stop(),
        sql_lsn=lsns[0] if lsns else None,
    )


def _state(inputs: PlanInputs, work: Work) -> TargetState:
    names = work.names
    states = {name.casefold(): state for name, state in inputs.databases.items()}
    return TargetState(
        databases={name: states.get(name.casefold(), "absent") for name in names.databases.values()},
        collections={name: inputs.collections.get(name, False) for name in names.collections.values()},
        aliases={alias: inputs.aliases.get(alias, "") for alias in work.aliases},
    )
