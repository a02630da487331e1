"""In which state a restore that did not come to its end left its targets, and the way back."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from shared.composition import System
from shared.errors import BackupSystemError
from shared.model.findings import Finding, Severity
from shared.model.plans import (
    CollectionStep,
    Plan,
    SafetyStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    SwapStep,
)
from shared.model.runs import Run, State
from shared.stores.sqlserver.statements import quote_name

NAMED = 5
"""Names in a finding; the run's result names them all."""


class Condition(StrEnum):
    """What became of a target."""

    UNTOUCHED = "untouched"
    CLOSED = "closed"
    HALF_RESTORED = "half_restored"
    RESTORED = "restored"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Left:
    """One target as it was left.

    Attributes:
        kind: ``database`` or ``collection``.
        name: its name.
        condition: what became of it.
        sentence: that in words, to be read after the name.
        way_back: what a person can do about it; empty where there is nothing to do.
    """

    kind: str
    name: str
    condition: Condition
    sentence: str
    way_back: str = ""


def left_behind(system: System, run: Run, plan: Plan) -> list[Left]:
    """Every target of a restore as it is now. Asks SQL Server, if it answers; never fails for it."""
    begun = _begun(system, run)
    return [*_databases(system, run, plan, begun), *_collections(run, plan, begun)]


def _begun(system: System, run: Run) -> set[str]:
    """The steps that changed their target, in whichever attempt."""
    parts = system.catalogue.runs.some_parts(run.id, [begun_key(step.id) for step in run.steps])
    return {
        step.id
        for step in run.steps
        if step.state is State.SUCCEEDED or parts.get(begun_key(step.id))  # emptied where nothing was changed
    }


def findings_of(left: Sequence[Left]) -> tuple[Finding, ...]:
    """What was left, for a person: like targets together."""

    def alike(one: Left) -> tuple[str, str, str, str]:
        return (
            one.kind,
            one.condition.value,
            one.sentence,
            one.way_back if one.kind == "collection" else one.name,
        )

    found = []
    for (kind, condition, sentence, _), group in groupby(sorted(left, key=alike), key=alike):
        members = list(group)
        names = ", ".join(one.name for one in members[:NAMED])
        more = f" and {len(members) - NAMED} more" if len(members) > NAMED else ""
        plural = "s" if len(members) > 1 else ""
        settled = condition in (Condition.UNTOUCHED, Condition.RESTORED)
        found.append(
            Finding(
                code=f"left_{condition}",
                severity=Severity.INFO if settled else Severity.WARNING,
                message=f"{kind.capitalize()}{plural} {names}{more}: {sentence}.",
                hint=members[0].way_back,
            )
        )
    return tuple(found)


def as_json(left: Sequence[Left]) -> list[dict[str, Any]]:
    """What was left as plain JSON, target by target."""
    return [
        {"kind": one.kind, "name": one.name, "state": one.condition.value, "way_back": one.way_back}
        for one in left
    ]


def _databases(system: System, run: Run, plan: Plan, begun: Container[str]) -> Iterator[Left]:
    steps = plan.execution.steps
    names = dict.fromkeys(s.target for s in steps if isinstance(s, SqlRestoreStep))
    names |= dict.fromkeys(s.database for s in steps if isinstance(s, SqlTailStep))
    swaps = [s for s in steps if isinstance(s, SwapStep)]
    states = _states(system) if names or swaps else {}
    for name in names:
        state = None if states is None else states.get(name.casefold(), "absent")
        yield _database(run, plan, name, state, begun)
    for swap in swaps:
        yield _swapped(run, swap)


def _states(system: System) -> dict[str, str] | None:
    try:
        return {name.casefold(): state for name, state in system.sqlserver.databases().items()}
    except BackupSystemError:
        return None


def _database(run: Run, plan: Plan, name: str, state: str | None, done: Container[str]) -> Left:
    steps = plan.execution.steps
    recovered = [s for s in steps if isinstance(s, SqlRecoverStep) and s.target == name]
    closed = any(isinstance(s, SqlTailStep) and s.database == name for s in steps)
    begun = any(s.id in done for s in steps if isinstance(s, SqlRestoreStep) and s.target == name)
    again = "Start the same plan again: it goes on where it was"
    if recovered and all(run.step(s.id).state is State.SUCCEEDED for s in recovered):
        return Left("database", name, Condition.RESTORED, "restored, and open for use")
    if state is None:
        said = "SQL Server does not answer, so nobody knows in which state it is"
        return Left("database", name, Condition.UNKNOWN, said, f"{again}.")
    if not begun and state == "RESTORING" and closed:
        said = "RESTORING: the tail of its log was taken, and nothing was overwritten"
        recovery = f"RESTORE DATABASE {quote_name(name)} WITH RECOVERY; ALTER DATABASE {quote_name(name)} "
        way = f"{again}; or put it back in service as it was: {recovery}SET MULTI_USER;"
        return Left("database", name, Condition.CLOSED, said, way)
    if not begun:
        said = "as it was before the restore" if state != "absent" else "not there, as before the restore"
        return Left("database", name, Condition.UNTOUCHED, said)
    if plan.execution.in_place and closed:
        way = (
            f"{again}; or plan a restore to another moment. What it held before is in the backups, up to the "
            "tail that was taken at the beginning of this restore."
        )
        return Left("database", name, Condition.HALF_RESTORED, f"{state}, overwritten in part", way)
    way = f"{again}; or remove it: DROP DATABASE {quote_name(name)};"
    return Left("database", name, Condition.HALF_RESTORED, f"{state}, restored in part", way)


def _swapped(run: Run, swap: SwapStep) -> Left:
    state = run.step(swap.id).state
    if state is State.SUCCEEDED:
        former = f"; what had that name is {swap.aside}" if swap.aside else ""
        said = f"in service in place of what was there{former}"
        return Left("database", swap.live, Condition.RESTORED, said)
    if state is State.PENDING:
        said = f"not exchanged: what was restored is still {swap.restored}"
        return Left("database", swap.live, Condition.UNTOUCHED, said)
    said = "its name may be half exchanged"
    way = "Start the same plan again: it looks which names there are, and ends the exchange."
    return Left("database", swap.live, Condition.HALF_RESTORED, said, way)


def _collections(run: Run, plan: Plan, begun: Container[str]) -> Iterator[Left]:
    safe = {
        name
        for s in plan.execution.steps
        if isinstance(s, SafetyStep) and run.step(s.id).state is State.SUCCEEDED
        for name in s.collections
    }
    for step in plan.execution.steps:
        if not isinstance(step, CollectionStep):
            continue
        if run.step(step.id).state is State.SUCCEEDED:
            yield Left("collection", step.target, Condition.RESTORED, "restored and proven")
        elif step.id not in begun:
            yield Left("collection", step.target, Condition.UNTOUCHED, "as before the restore")
        elif step.overwrites:
            saved = (
                " or recover the safety snapshot that this restore kept of it" if step.target in safe else ""
            )
            way = f"Start the same plan again: it recovers the collection anew;{saved}".rstrip(";")
            said = "being overwritten; the server may end that by itself"
            yield Left("collection", step.target, Condition.HALF_RESTORED, said, f"{way}.")
        else:
            way = "Start the same plan again: it recovers the collection anew; or delete the collection."
            said = "being recovered; the server may end that by itself"
            yield Left("collection", step.target, Condition.HALF_RESTORED, said, way)


def begun_key(step_id: str) -> str:
    """The part of a run that says whether a step has begun to change its target, in whichever attempt."""
    return f"begun/{step_id}"
