"""What a drill restores under which names, and the proof that it touches nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from shared.errors import RefusedError
from shared.model.backups import QdrantFacts
from shared.model.plans import (
    CleanUpStep,
    CollectionStep,
    ConversationStep,
    Execution,
    FenceStep,
    HealthStep,
    Migrations,
    MigrationsStep,
    OrphansStep,
    Plan,
    RehydrateStep,
    SampleStep,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    Step,
)
from shared.model.points import RecoveryPoint
from shared.octopus.collections import agent_of, is_scratch
from shared.planning.names import LONGEST_COLLECTION, LONGEST_DATABASE

_PREFIX = re.compile(r"drill_\d{8}t\d{6}_")

_OF_THE_API = (FenceStep, HealthStep, ConversationStep)
"""A drill leaves the live Octopus API alone."""


def prefix_at(time: datetime) -> str:
    """What the names of all copies begin with that a drill begun at that instant (UTC) makes."""
    return f"drill_{time:%Y%m%dt%H%M%S}_"


def is_copy(name: str) -> bool:
    """Whether a database or collection has a name that drills, and nothing else, give to their copies."""
    return _PREFIX.match(name) is not None and is_scratch(name)


def scratch_names(plan: Plan, prefix: str) -> dict[str, str]:
    """A scratch name for everything that a plan restores, by its own name; cut where it becomes too long."""
    databases = {step.database for step in plan.execution.steps if isinstance(step, SqlRestoreStep)}
    collections = {step.collection for step in plan.execution.steps if isinstance(step, CollectionStep)}
    return {
        **_names(databases, prefix, str.casefold, _utf16, LONGEST_DATABASE),
        **_names(collections, prefix, str, _utf8, LONGEST_COLLECTION),
    }


def _utf16(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _utf8(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))


def _names(
    sources: Iterable[str],
    prefix: str,
    same: Callable[[str], str],
    length: Callable[[str], int],
    longest: int,
) -> dict[str, str]:
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for source in sorted(sources):
        number = 1
        while True:
            stem, ending = source, f"_{number}" if number > 1 else ""
            while length(prefix + stem + ending) > longest:
                stem = stem[:-1]
            name = prefix + (stem.rstrip(" ") or stem) + ending  # no database's name may end with a space
            if same(name) not in taken:
                break
            number += 1
        taken.add(same(name))
        chosen[source] = name
    return chosen


def not_restored(plan: Plan, point: RecoveryPoint, facts: QdrantFacts | None) -> tuple[str, ...]:
    """Collections that a recovery point should hold, and a plan of it does not restore.

    A collection whose agent SQL Server does not know at the point is none of them: it is left out on purpose.

    Args:
        plan: the restore of the point, of all that can be restored.
        point: the recovery point, with its agents.
        facts: its snapshot set.
    """
    restored = {step.collection for step in plan.execution.steps if isinstance(step, CollectionStep)}
    known = {agent.lower() for side in point.sql for agent in side.agents}
    missing = [one.name for one in (facts.collections if facts else ()) if one.name not in restored]
    orphaned = {name for name in missing if known and (agent_of(name) or "") not in {*known, ""}}
    return tuple(sorted(set(missing) - orphaned - set(point.vectors.without_agent)))


def as_drill(plan: Plan, left_out: tuple[str, ...] = ()) -> Plan:
    """The drill of a plan whose targets all have scratch names.

    The steps on Octopus' API are left out. DBCC CHECKDB is added to every proof, and at the end a sample of
    what was restored, and its removal.

    Args:
        plan: the restore.
        left_out: what :func:`not_restored` gives; the drill will fail, after all else was tried.

    Raises:
        RefusedError: ``drill_archived``: files would have to be brought back online, for hours and for money;
            ``drill_not_scratch``: see :func:`demand_scratch`.
    """
    if any(isinstance(step, RehydrateStep) for step in plan.execution.steps):
        raise RefusedError(
            "Files of this recovery point are in the archive tier.",
            "A drill does not bring them back online. Choose a newer recovery point.",
            code="drill_archived",
        )
    kept = [
        step.model_copy(update={"checkdb": True}) if isinstance(step, SqlProofStep) else step
        for step in plan.execution.steps
        if not isinstance(step, _OF_THE_API)
    ]
    databases = _unique(step.target for step in kept if isinstance(step, SqlRestoreStep))
    collections = _unique(step.target for step in kept if isinstance(step, CollectionStep))
    copies = f"{len(databases)} database(s) and {len(collections)} collection(s)"
    sample = SampleStep(
        id="",
        title=f"Read from {copies} as Octopus does",
        databases=databases,
        collections=collections,
        left_out=left_out,
    )
    clean_up = CleanUpStep(
        id="", title=f"Remove the {copies} of this drill", databases=databases, collections=collections
    )
    steps = tuple(
        step.model_copy(update={"id": f"{number:03}-{step.kind}"})
        for number, step in enumerate([*kept, sample, clean_up], 1)
    )
    execution = plan.execution.model_copy(update={"steps": steps})
    demand_scratch(execution)
    return plan.model_copy(update={"execution": execution, "digest": execution.digest()})


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def demand_scratch(execution: Execution) -> None:
    """Make sure that nothing in an execution writes to anything but scratch copies of one drill.

    Every name that a step writes to carries one and the same drill's prefix and did not exist when the plan
    was made; there is no step of a kind that could write elsewhere; and what is removed at the end is nothing
    but what was restored.

    Raises:
        RefusedError: ``drill_not_scratch``: this is not so.
    """
    problems = list(_problems(execution))
    if problems:
        raise RefusedError(
            f"This is no drill: {' '.join(problems[:3])}",
            "A drill writes to copies under names of its own and to nothing else. Report this plan.",
            code="drill_not_scratch",
        )


def _problems(execution: Execution) -> Iterator[str]:
    if execution.in_place:
        yield "It restores in place."
    written: set[str] = set()
    for step in execution.steps:
        targets = _written(step)
        if targets is None:
            yield f"Step {step.id} is a {step.kind}, which no drill has."
            continue
        written.update(targets)
    strange = sorted(name for name in written if not is_copy(name))
    if strange:
        yield f"It writes to {', '.join(strange[:3])}."
    if len({match[0] for name in written if (match := _PREFIX.match(name))}) > 1:
        yield "It writes to the copies of several drills."
    state = execution.target_state
    there = [name for name, state_desc in state.databases.items() if state_desc != "absent"]
    there += [name for name, exists in state.collections.items() if exists]
    if there or state.aliases:
        yield f"It writes to what exists: {', '.join(sorted(there + list(state.aliases))[:3])}."
    yield from _removals(execution)


def _written(step: Step) -> tuple[str, ...] | None:
    """What a step writes to, nothing where it only reads; None for a step that no drill has."""
    match step:
        case SqlRestoreStep() | SqlRecoverStep():
            return (step.target,)
        case CollectionStep(overwrites=False):
            return (step.target,)
        case CleanUpStep():
            return (*step.databases, *step.collections)
        case MigrationsStep(how=Migrations.CHECK):
            return ()
        case SqlProofStep() | OrphansStep() | SampleStep():
            return ()
        case _:
            return None


def _removals(execution: Execution) -> Iterator[str]:
    databases = {step.target for step in execution.steps if isinstance(step, SqlRestoreStep)}
    collections = {step.target for step in execution.steps if isinstance(step, CollectionStep)}
    for step in execution.steps:
        if isinstance(step, CleanUpStep):
            others = sorted((set(step.databases) - databases) | (set(step.collections) - collections))
            if others:
                yield f"It removes what it did not restore: {', '.join(others[:3])}."
