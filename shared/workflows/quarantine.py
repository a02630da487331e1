"""A collection that nobody knows is put aside: copied into Blob Storage and under another name, then deleted.

Nothing is deleted before every peer counts the same points in the copy as in the original. What is done stays
undoable: the copy is a collection, and a snapshot of it lies in Blob Storage.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any

from shared.composition import System
from shared.errors import LockedError, RefusedError
from shared.model.backups import QdrantFacts, Quality
from shared.model.plans import CollectionStep, PartToRestore
from shared.model.quarantines import Quarantine, QuarantineRequest
from shared.model.runs import Run, RunKind, State, StepState
from shared.octopus.collections import agent_of, is_scratch
from shared.planning.names import LONGEST_COLLECTION
from shared.stores.qdrant import agreed
from shared.workflows.context import ActivityFailedError, Context, Task
from shared.workflows.copies import copies_id, copy_collections, told
from shared.workflows.retrying import persistently
from shared.workflows.runs import Start, Ticket, Work, end_run, error_in, open_run, working

COPY, ASIDE, DELETE = "copy", "aside", "delete"
"""The steps, in their order."""
FACTS = "facts"
"""The part of the run that holds what was copied."""
CHANGED = "changed_since_copy"
RECENT = 50
"""How many quarantines are looked at for one of the same collection."""


def look(system: System, request: QuarantineRequest) -> Quarantine:
    """What would be done with a collection; nothing is touched.

    Raises:
        NotFoundError: there is no such collection.
        RefusedError: it is a copy, an alias stands for it, or (unless forced) an agent may work with it.
        UnreachableError: a store does not answer.
    """
    name = request.collection
    if is_scratch(name):
        raise RefusedError(
            f"{name!r} is a copy that was made here.", "Delete it, when it is not needed.", code="is_a_copy"
        )
    _, state = system.qdrant.inspect_one(name)
    if state.aliases:
        raise RefusedError(
            f"The alias {state.aliases[0]!r} stands for {name!r}.",
            "Somebody works with it by that name. Point the alias elsewhere first.",
            code="alias_in_use",
        )
    agent = agent_of(name)
    known_in = () if request.force else _databases_that_know(system, agent)
    if not request.force:
        _demand_nobody_s(name, agent, known_in)
    return Quarantine(
        collection=name,
        copy_name=copy_name(name, system.clock.now()),
        agent=agent,
        points=system.qdrant.count(name).value,
        known_in=known_in,
        force=request.force,
    )


def copy_name(collection: str, at: datetime) -> str:
    """The name that a copy gets: ``quarantine_``, the time, and as much of the original's name as fits."""
    prefix = f"quarantine_{at:%Y%m%dt%H%M%S}_"
    stem = collection
    while len((prefix + stem).encode("utf-8", "surrogatepass")) > LONGEST_COLLECTION:
        stem = stem[:-1]
    return prefix + stem


def _databases_that_know(system: System, agent: str | None) -> tuple[str, ...]:
    if agent is None:
        return ()
    databases = system.settings.sqlserver.databases
    return tuple(name for name in databases if agent in system.sqlserver.agents(name))


def _demand_nobody_s(name: str, agent: str | None, known_in: tuple[str, ...]) -> None:
    hint = "Leave it where it is; or give a reason, with which it is put aside all the same."
    if agent is None:
        raise RefusedError(
            f"{name!r} belongs to no single agent by its name, so nothing shows that nobody works with it.",
            hint,
            code="not_an_agents",
        )
    if known_in:
        raise RefusedError(
            f"{name!r} belongs to the agent {agent}, which {known_in[0]} knows.", hint, code="agent_known"
        )


def start_quarantine(system: System, request: QuarantineRequest) -> Start:
    """Write the run down; the workflow does the rest. One that did not come to its end is resumed.

    Raises:
        LockedError: a quarantine of this collection, or a restore to it, is under way.
        NotFoundError, RefusedError, UnreachableError: as ``look`` raises them.
    """
    run = _unfinished(system, request.collection) or _new_run(system, look(system, request))
    ticket = Ticket(run.kind, run.id, run.attempt)
    _hold(system, run)
    try:
        open_run(system, run)
    except Exception:
        system.catalogue.targets.let_go(run.id)
        raise
    return Start("quarantine", ticket.as_payload(), f"quarantine-{run.id}-{run.attempt}", run.id)


def _unfinished(system: System, collection: str) -> Run | None:
    """The next attempt at a quarantine that did not end well; None where a new one has to be begun."""
    runs = system.catalogue.runs.recent(RunKind.QUARANTINE, RECENT)
    earlier = next((run for run in runs if run.request["collection"] == collection), None)
    if earlier is None or earlier.state is State.SUCCEEDED:
        return None
    if not (earlier.ended or earlier.dead(system.clock.now())):
        raise LockedError(
            f"Run {earlier.id} puts {collection!r} aside right now.", "Wait until it has ended.",
            run_id=earlier.id,
        )  # fmt: skip
    if earlier.error and earlier.error.code == CHANGED:
        return None  # what it has copied is no longer what is there
    return earlier.model_copy(update={"attempt": earlier.attempt + 1})


def _hold(system: System, run: Run) -> None:
    names = (run.request["collection"], run.request["copy_name"])
    system.catalogue.targets.hold(run.id, run.attempt, [f"collection:{name}" for name in names])


def _new_run(system: System, found: Quarantine) -> Run:
    now = system.clock.now()
    name, copy = found.collection, found.copy_name
    return Run(
        id=system.new_id(),
        kind=RunKind.QUARANTINE,
        title=f"Put the collection {name} aside",
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
        request=found.as_json(),
        steps=(
            StepState(id=COPY, title=f"Keep a snapshot of {name} in Blob Storage, from every peer"),
            StepState(id=ASIDE, title=f"Recover it as {copy}, and prove that it is whole"),
            StepState(id=DELETE, title=f"Delete {name}"),
        ),
    )


def quarantine(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a quarantine. The first step that fails ends it; what was done is kept."""
    ticket = Ticket.of(payload).as_payload()
    try:
        for step in (COPY, ASIDE, DELETE):
            yield from persistently(ctx, "quarantine_step", {**ticket, "step": step})
    except ActivityFailedError as failure:
        return (yield from persistently(ctx, "end_quarantine", {**ticket, "error": failure.as_dict()}))
    return (yield from persistently(ctx, "end_quarantine", ticket))


def quarantine_step(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one step. Done steps are not repeated."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    if run.step(payload["step"]).state is State.SUCCEEDED:
        return {}
    wanted = Quarantine.model_validate(run.request)
    with working(system, ticket, payload["step"], alone=True) as work:
        _hold(system, run)
        _STEPS[payload["step"]](system, ticket, wanted, work)
    return {}


def end_quarantine(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: write down how it ended, and let go of both names. May be repeated."""
    ticket = Ticket.of(payload)
    run = end_run(system, ticket, error=error_in(payload))
    system.catalogue.targets.let_go(run.id)
    return {"state": run.state.value}


def _copy(system: System, ticket: Ticket, wanted: Quarantine, work: Work) -> None:
    versions, state = system.qdrant.inspect_one(wanted.collection)
    copies = copies_id(system, ticket.run_id, COPY)
    places = [(peer, wanted.collection) for peer in state.holders]
    parts = copy_collections(system, ticket, copies, places, work.check, work.progress)
    points = agreed([part.points for part in parts])
    if points.quality is not Quality.EXACT:
        raise RefusedError(
            f"{wanted.collection!r} changed while it was copied: from {points.low} to {points.high} points.",
            "Something writes to it. Stop that, then quarantine it again.",
            code=CHANGED,
        )
    facts = QdrantFacts(versions=versions, collections=(state.facts(points),), parts=tuple(parts))
    system.catalogue.runs.save_part(ticket.run_id, FACTS, facts.as_json())
    work.evidence |= {"points": points.value, "kept": told(system, parts)}
    work.note = f"{points.value:,} points in {len(parts)} snapshot(s)"


def _set_aside(system: System, ticket: Ticket, wanted: Quarantine, work: Work) -> None:
    facts = QdrantFacts.model_validate(system.catalogue.runs.part(ticket.run_id, FACTS))
    step = CollectionStep(
        id=ASIDE,
        title="",
        collection=wanted.collection,
        target=wanted.copy_name,
        parts=tuple(
            PartToRestore(peer_id=part.peer_id, checksum=part.checksum, blob=part.blob)
            for part in facts.parts
        ),
    )
    key = f"begun/{ASIDE}"
    begun_before = bool(system.catalogue.runs.find_part(ticket.run_id, key))
    system.catalogue.runs.save_part(ticket.run_id, key, {"attempt": ticket.attempt})
    work.evidence |= system.qdrant.restore(
        step, facts, begun_before=begun_before, progress=lambda _: work.check()
    )
    work.note = f"the points are now in {wanted.copy_name} as well"


def _delete(system: System, ticket: Ticket, wanted: Quarantine, work: Work) -> None:
    facts = QdrantFacts.model_validate(system.catalogue.runs.part(ticket.run_id, FACTS))
    work.check()
    work.evidence |= system.qdrant.remove(
        wanted.collection, wanted.copy_name, facts.collections[0].points.value
    )
    work.note = f"its points are in the collection {wanted.copy_name}, and in Blob Storage"


_STEPS = {COPY: _copy, ASIDE: _set_aside, DELETE: _delete}
