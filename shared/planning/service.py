"""Putting a restore in service: what was restored beside the live data takes its place.

Databases exchange their names; the live one is kept under another. Collections are recovered once more, under
their live names, from the same snapshots, after what is there was kept in a safety snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import InvalidRequestError, NothingToRestoreError, RefusedError
from shared.model.backups import Manifest, QdrantFacts
from shared.model.findings import Finding, Severity
from shared.model.plans import (
    CollectionStep,
    Execution,
    Migrations,
    Plan,
    PlanRequest,
    SqlRecoverStep,
    Step,
    SwapStep,
    TargetState,
)
from shared.model.runs import Run, RunKind, State
from shared.planning.findings import about_qdrant, about_space, about_steps
from shared.planning.names import Names, aside_name
from shared.planning.restore import VALID_FOR, extras_of, shown
from shared.planning.space import space_needed
from shared.planning.stages import aliases_of, erasures, fence, orphans, trial, vector_steps
from shared.planning.steps import Api, Work, aftermath, files_of, numbered, rehydration
from shared.planning.telling import finding, some
from shared.planning.words import said

ONLINE = "ONLINE"


@dataclass(frozen=True, kw_only=True)
class ServiceInputs:
    """Everything that such a plan is made of; nothing else is looked at.

    ``plan_id`` is a ULID, ``now`` is UTC. ``run`` is the restore that is put in service and ``earlier`` its
    plan; ``served_by`` is the restore that has done so already, if any. ``snapshot_set`` is the manifest of
    the set that its collections come from. The other fields are as in
    :class:`shared.planning.restore.PlanInputs`.
    """

    plan_id: str
    now: datetime
    request: PlanRequest
    run: Run
    earlier: Plan
    served_by: str | None
    snapshot_set: Manifest | None
    databases: Mapping[str, str]
    collections: Mapping[str, bool]
    aliases: Mapping[str, str] = field(default_factory=dict)
    qdrant_versions: Mapping[str, str]
    settings: str
    octopus_api: bool
    free_bytes: int | None
    tiers: Mapping[str, str] = field(default_factory=dict)
    stop_hook: bool = False
    start_hook: bool = False
    live_database: str | None = None


def put_in_service(inputs: ServiceInputs) -> Plan:
    """The plan that puts a restore in service; the same inputs give the same plan and the same digest.

    Raises:
        InvalidRequestError: ``not_a_restore``, ``not_applicable``, ``restored_in_place``,
            ``needs_sqlserver``.
        NothingToRestoreError: ``in_service_already``: everything has its live name.
        RefusedError: ``restore_not_succeeded``, ``in_service_already``, ``restored_database_gone``,
            ``restored_database_not_online``, ``snapshot_set_gone``.
    """
    _demand_fit(inputs)
    swaps = tuple(_swaps(inputs))
    work = _work(inputs)
    if not (swaps or work.parts):
        raise NothingToRestoreError(
            f"Restore {inputs.run.id} restored everything under its live name.",
            "Nothing is left to be done.",
            code="in_service_already",
        )
    if work.extras.users and not swaps:
        raise InvalidRequestError(
            "erase_users is about databases, and none is put in service.",
            "Leave it out.",
            code="needs_sqlserver",
        )
    steps = _steps(inputs, swaps, work)
    earlier = inputs.earlier.execution
    execution = Execution(
        target=earlier.target,
        policy=earlier.policy,
        serves=inputs.run.id,
        stores=earlier.stores,
        agents=earlier.agents,
        in_place=True,
        steps=steps,
        target_state=_state(inputs, swaps, work),
        settings=inputs.settings,
    )
    space = space_needed(work, inputs.qdrant_versions)
    parts = [f"{len(swaps)} database(s)"] if swaps else []
    parts += [f"{len(work.parts)} collection(s)"] if work.parts else []
    return Plan(
        id=inputs.plan_id,
        made_at=inputs.now,
        expires_at=inputs.now + VALID_FOR,
        request=shown(inputs.request),
        summary=f"Put {' and '.join(parts)} of restore {inputs.run.id} in service, in place of what is live.",
        consistency=inputs.earlier.consistency,
        chosen=(),
        rejected=(),
        losses=tuple(_losses(inputs, swaps, work)),
        findings=(
            *_findings(inputs, swaps, work),
            *about_qdrant(work, inputs.qdrant_versions, inputs.aliases),
            *about_space(space, inputs.free_bytes, confirmed=inputs.request.confirm_space),
            *about_steps(steps, api=work.api),
        ),
        space=space,
        size=sum(size for _, size, _ in files_of(steps)),
        execution=execution,
        digest=execution.digest(),
    )


def _demand_fit(inputs: ServiceInputs) -> None:
    run, request, earlier = inputs.run, inputs.request, inputs.earlier.execution
    if run.kind is not RunKind.RESTORE or earlier.serves:
        raise InvalidRequestError(
            f"Run {run.id} restored nothing that could be put in service.",
            "Name the run of a restore that was made side by side: GET /api/restores lists them.",
            code="not_a_restore",
        )
    asked = {
        "policy": request.policy,
        "stores": request.stores,
        "agents": request.agents,
        "in_place": request.in_place,
        "names": request.names,
        "checkdb": request.checkdb,
        "migrations": request.migrations is not Migrations.CHECK,
        "migration_script": request.migration_script,
    }
    strange = [name for name, value in asked.items() if value]
    if strange:
        raise InvalidRequestError(
            f"What is put in service was restored before; {' and '.join(strange)} cannot be chosen any more.",
            "Leave it out, or make another restore.",
            code="not_applicable",
        )
    if earlier.in_place:
        raise InvalidRequestError(
            f"Restore {run.id} was made in place: what it restored is in service.", code="restored_in_place"
        )
    if run.state is not State.SUCCEEDED:
        raise RefusedError(
            f"Restore {run.id} is {run.state}, so what it restored is not proven.",
            "Resume it, or repeat it, until it has succeeded.",
            code="restore_not_succeeded",
        )
    if inputs.served_by:
        raise RefusedError(
            f"Restore {run.id} was put in service by restore {inputs.served_by}.",
            "Make another restore if it shall be done again.",
            code="in_service_already",
        )


def _swaps(inputs: ServiceInputs) -> Iterator[SwapStep]:
    there = {name.casefold(): name for name, state in inputs.databases.items() if state != "absent"}
    for step in inputs.earlier.execution.steps:
        if not isinstance(step, SqlRecoverStep) or step.target.casefold() == step.database.casefold():
            continue
        restored, live = there.get(step.target.casefold()), there.get(step.database.casefold())
        if restored is None:
            raise RefusedError(
                f"The restored database {step.target} is not there any more.",
                "Make another restore.",
                code="restored_database_gone",
            )
        if inputs.databases[restored] != ONLINE:
            raise RefusedError(
                f"The restored database {restored} is {inputs.databases[restored]}.",
                "Bring it ONLINE, or make another restore.",
                code="restored_database_not_online",
            )
        aside = aside_name(live, inputs.now, there) if live else None
        kept = f", and keep the live one as {aside}" if aside else ""
        yield SwapStep(
            id="",
            title=f"Give {restored} the live name {live or step.database}{kept}",
            restored=restored,
            live=live or step.database,
            aside=aside,
        )


def _work(inputs: ServiceInputs) -> Work:
    """The collections that have other names than the live ones, from the snapshots that they came from."""
    steps = [
        step
        for step in inputs.earlier.execution.steps
        if isinstance(step, CollectionStep) and step.target != step.collection
    ]
    facts = inputs.snapshot_set.facts if inputs.snapshot_set else None
    if steps and not isinstance(facts, QdrantFacts):
        raise RefusedError(
            "The snapshot set that the collections were restored from is not there any more.",
            "Make another restore.",
            code="snapshot_set_gone",
        )
    used = {part.blob.name for step in steps for part in step.parts}
    known = facts.parts if isinstance(facts, QdrantFacts) else ()
    parts = {
        step.collection: tuple(
            part for part in known if part.collection == step.collection and part.blob.name in used
        )
        for step in steps
    }
    names = Names({}, {name: name for name in parts})
    qdrant = facts if isinstance(facts, QdrantFacts) else None
    return Work(
        qdrant=qdrant,
        parts=parts,
        names=names,
        aliases=aliases_of(qdrant, names.collections, inputs.aliases, in_place=True),
        overwritten_collections=frozenset(name for name in parts if inputs.collections.get(name)),
        api=Api(address=inputs.octopus_api, stop_hook=inputs.stop_hook, start_hook=inputs.start_hook),
        extras=extras_of(inputs.request, None),
    )


def _steps(inputs: ServiceInputs, swaps: tuple[SwapStep, ...], work: Work) -> tuple[Step, ...]:
    vectors = tuple(vector_steps(work))
    live = {swap.live: swap.live for swap in swaps}
    restored = [step.database for step in inputs.earlier.execution.steps if isinstance(step, SqlRecoverStep)]
    database = next(iter([*live, *restored]), inputs.live_database)
    compared = orphans(database, database, work.parts) if database else None
    return numbered(
        [
            *rehydration(vectors, inputs.tiers),
            *fence(work.api),
            *swaps,
            *vectors,
            *([compared] if compared else ()),
            *erasures(work.extras, live),
            *trial(work.api, database, work.names.collections),
            *aftermath(live),
        ]
    )


def _state(inputs: ServiceInputs, swaps: tuple[SwapStep, ...], work: Work) -> TargetState:
    names = [name for swap in swaps for name in (swap.restored, swap.live, swap.aside) if name]
    return TargetState(
        databases={name: inputs.databases.get(name, "absent") for name in names},
        collections={name: inputs.collections.get(name, False) for name in work.parts},
        aliases={alias: inputs.aliases.get(alias, "") for alias in work.aliases},
    )


def _losses(inputs: ServiceInputs, swaps: tuple[SwapStep, ...], work: Work) -> Iterator[str]:
    yield f"What goes into service is what restore {inputs.run.id} brought back: {inputs.earlier.summary}"
    for swap in swaps:
        if swap.aside:
            yield f"{swap.live}: what is live now goes out of service, and is kept as {swap.aside}."
    over = sorted(work.overwritten_collections)
    if over:
        yield f"Collections: what is live now in {len(over)} of them is replaced: {some(over)}."


def _findings(inputs: ServiceInputs, swaps: tuple[SwapStep, ...], work: Work) -> Iterator[Finding]:
    run = inputs.run
    yield finding(
        "written_since",
        Severity.WARNING,
        f"What restore {run.id} proved, it proved by {said(run.finished_at or run.started_at)}. Whether "
        "somebody has written to the databases since is not looked at; collections are recovered anew.",
        "Make another restore if anybody worked with the copies.",
    )
    yield finding("undo", Severity.INFO, "The way back: " + " ".join(_undo(swaps, work)))


def _undo(swaps: tuple[SwapStep, ...], work: Work) -> Iterator[str]:
    yield "stop the Octopus API."
    for swap in swaps:
        yield _rename(swap.live, swap.restored)
        if swap.aside:
            yield _rename(swap.aside, swap.live)
    if work.overwritten_collections:
        yield (
            "Recover each replaced collection from its safety snapshot, which the run's report names: "
            "PUT /collections/{name}/snapshots/recover with priority=snapshot."
        )
    new = sorted(work.parts.keys() - work.overwritten_collections)
    if new:
        yield f"Delete the collections that were not there before: {some(new)}."
    yield "Start the Octopus API."


def _rename(name: str, to: str) -> str:
    old, new = (one.replace("]", "]]") for one in (name, to))
    return f"ALTER DATABASE [{old}] MODIFY NAME = [{new}];"
