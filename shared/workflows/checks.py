"""A look at the environment as it is: the checklist's five steps over what is in service.

Nothing is changed, but for the episode that the conversation of step 5 becomes. One step that fails does not
stop the others: whoever asks whether all is well wants to know everything that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from shared.catalogue.runs import KEPT
from shared.checklist import (
    Judgement,
    RestoredCollection,
    judge_health,
    judge_live_collections,
    judge_live_sql,
    judge_migrations,
)
from shared.composition import System
from shared.errors import InvalidRequestError, InvalidSettingsError, ProofFailedError
from shared.model.base import Document
from shared.model.checks import CheckRequest
from shared.model.points import RecoveryPoint, SqlSide
from shared.model.runs import Run, RunKind, State, StepState
from shared.octopus.api import HEALTH_SECONDS
from shared.octopus.collections import agent_of, is_scratch
from shared.reporting import report_text
from shared.workflows import reports
from shared.workflows.context import ActivityFailedError, Context, Task
from shared.workflows.orphans import find_orphans
from shared.workflows.restore_checks import try_out
from shared.workflows.restore_sql import check_database, marker_in
from shared.workflows.retrying import persistently
from shared.workflows.runs import Start, Ticket, Work, end_run, error_in, open_run, working

_MEANING = "The environment is not as it should be. Nothing was changed by looking."


class Look(Document):
    """One step of a check: what is looked at, and in which database."""

    id: str
    what: str
    title: str
    checklist: int
    database: str | None = None


@dataclass(frozen=True)
class _Looking:
    """A look under way."""

    system: System
    look: Look
    work: Work
    point: RecoveryPoint | None
    checkdb: bool

    @property
    def database(self) -> str:
        """The database that is looked at."""
        return self.look.database or ""

    @property
    def side(self) -> SqlSide | None:
        """That database at the recovery point."""
        sides = self.point.sql if self.point else ()
        return next((side for side in sides if side.database == self.database), None)

    def judge(self, judgement: Judgement) -> None:
        """Keep a judgement with the step.

        Raises:
            ProofFailedError: something is not as it should be.
        """
        self.work.evidence |= judgement.as_json()
        if not judgement.passed:
            raise ProofFailedError(
                judgement.summary,
                "Look at what it names. If a restore is needed, plan one: `octopus-backup plan latest`.",
                meaning=_MEANING,
            )


def start_check(system: System, request: CheckRequest) -> Start:
    """Write the run of a check down. Nothing is looked at yet.

    Raises:
        NotFoundError: there is no such recovery point.
        InvalidRequestError: with these settings there is nothing to look at from that step on.
    """
    point = _point_of(system, request.recovery_point)
    looks = list(_looks(system))
    wanted = [look for look in looks if look.checklist >= request.from_step]
    if not wanted:
        raise InvalidRequestError(
            f"There is nothing to look at from step {request.from_step} on.",
            "Steps 4 and 5 need OCTOPUS_API_URL, step 3 QDRANT_URLS.",
        )
    now = system.clock.now()
    run = Run(
        id=system.new_id(),
        kind=RunKind.CHECK,
        title="Check of the environment" + (f", compared with recovery point {point.id}" if point else ""),
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
        request={
            **request.model_dump(mode="json"),
            "point_id": point.id if point else None,
            "looks": [look.as_json() for look in looks],
        },
        steps=tuple(_step(look, left_out=look not in wanted, first=request.from_step) for look in looks),
    )
    open_run(system, run)
    ticket = Ticket(RunKind.CHECK, run.id, run.attempt)
    return Start("check_environment", ticket.as_payload(), f"check-{run.id}", run.id)


def _point_of(system: System, wanted: str | None) -> RecoveryPoint | None:
    if wanted is not None:
        return system.catalogue.points.get(wanted)
    newest = next((point for point in system.catalogue.points.outlines() if point.complete), None)
    return system.catalogue.points.behind(newest) if newest else None


def _step(look: Look, *, left_out: bool, first: int) -> StepState:
    state = State.SKIPPED if left_out else State.PENDING
    note = f"left out: begun with step {first}" if left_out else ""
    return StepState(id=look.id, title=look.title, checklist=look.checklist, state=state, note=note)


def _looks(system: System) -> Iterator[Look]:
    """Everything that can be looked at with these settings, in the checklist's order."""
    made: list[tuple[int, str, str, str | None]] = []
    databases = system.settings.sqlserver.databases if system.has_sqlserver else ()
    made += [(1, "sql", f"Count the rows of {name}", name) for name in databases]
    made += [(2, "migrations", f"Check the migrations and tables of {name}", name) for name in databases]
    first = databases[0] if databases else None
    if system.has_qdrant:
        made.append((3, "collections", "Look at every collection on every peer", first))
    if system.has_qdrant and first:
        made.append((3, "orphans", f"Compare the agents of {first} with the collections", first))
    if system.octopus is not None:
        made.append((4, "health", "Ask the Octopus API whether it is healthy", None))
    if system.octopus is not None and first:
        made.append(
            (
                5,
                "conversation",
                "Hold a conversation from end to end, with recall and a semantic search",
                first,
            )
        )
    for number, (item, what, title, database) in enumerate(made, 1):
        yield Look(id=f"{number:03}-{what}", what=what, title=title, checklist=item, database=database)


def check_environment(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a check: one look after the other, also after one that failed."""
    ticket = Ticket.of(payload).as_payload()
    try:
        steps = (yield ctx.activity("begin_check", ticket))["steps"]
    except ActivityFailedError as failure:
        return (yield ctx.activity("end_check", {**ticket, "error": failure.as_dict()}))
    error: dict[str, Any] = {}
    for step in steps:
        try:
            yield from persistently(ctx, "check_step", {**ticket, "step": step})
        except ActivityFailedError as failure:  # noted in the step, unless the note itself failed
            error = error or {"error": failure.as_dict()}
    return (yield ctx.activity("end_check", {**ticket, **error}))


def begin_check(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: tell the ids of the steps that are to be done."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    done = (State.SUCCEEDED, State.SKIPPED)
    return {"steps": [] if run.ended else [step.id for step in run.steps if step.state not in done]}


def check_step(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one look."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    looks = {look["id"]: Look.model_validate(look) for look in run.request["looks"]}
    look = looks[payload["step"]]
    if run.step(look.id).state is State.SUCCEEDED:
        return {}
    point_id = run.request.get("point_id")
    with working(system, ticket, look.id) as work:
        point = system.catalogue.points.get(point_id) if point_id else None
        if look.database is not None:
            work.evidence["database"] = look.database
        _LOOK_AT[look.what](_Looking(system, look, work, point, bool(run.request.get("checkdb"))))
    return {}


def end_check(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: write down how the check ended, with its report."""
    ticket = Ticket.of(payload)
    key = f"result/{ticket.attempt}"

    def kept(ended: Run) -> dict[str, Any]:  # before the state says that it ended: who sees that wants it
        point_id = ended.request.get("point_id")
        point = system.catalogue.points.get(point_id) if point_id else None
        whole = system.catalogue.runs.whole(ended.model_copy(update={"result": {}}))
        made = reports.made(system, whole, None, point)
        system.catalogue.runs.save_part(ended.id, key, {"report": made, "report_text": report_text(made)})
        return {KEPT: key}

    run = end_run(system, ticket, error=error_in(payload), result=kept)
    reports.keep(system, run, system.catalogue.runs.part(run.id, key)["report"])
    return {"state": run.state.value}


def _sql(one: _Looking) -> None:
    counts = one.system.sqlserver.counts(one.database)
    rows = sum(count.value for count in counts.values())
    one.work.note = f"{rows:,} rows in {len(counts)} tables"
    judgement = judge_live_sql(one.side, marker_in(one.system, one.database), counts)
    one.judge(judgement)
    if one.checkdb:
        one.judge(judgement.also(check_database(one.system, one.work, one.database)))
        one.work.note += "; DBCC CHECKDB found no error"


def _migrations(one: _Looking) -> None:
    found = one.system.sqlserver.migrations(one.database)
    one.work.note = f"head {found.head}, {len(found.tables)} tables"
    head, tables = (one.side.migration, one.side.tables) if one.side else (None, {})
    one.judge(judge_migrations(head, tables, found.head, found.tables, at_least=True))


def _collections(one: _Looking) -> None:
    expected = dict(one.point.vectors.collections) if one.point else {}
    agents = set(one.system.sqlserver.agents(one.database)) if one.look.database else None
    needed = [
        name for name in expected if agents is None or (owner := agent_of(name)) is None or owner in agents
    ]
    live = [name for name in one.system.qdrant.names() if not is_scratch(name)]
    surveyed = one.system.qdrant.survey(sorted({*expected, *live}))
    one.work.note = f"{len(live)} collections"
    found = {
        seen.collection: RestoredCollection(
            seen.collection, seen.missing if seen.counts else (), seen.counts, seen.statuses, seen.optimizers
        )
        for seen in surveyed
    }
    one.judge(judge_live_collections(expected, needed, found))


def _orphans(one: _Looking) -> None:
    live = {name: name for name in one.system.qdrant.names() if not is_scratch(name)}
    found = find_orphans(one.system, one.database, live, one.work.check)
    one.work.evidence |= found.as_json()
    one.work.note = found.note()


def _health(one: _Looking) -> None:
    if one.system.octopus is None:
        raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and check again.")
    found = one.system.octopus.health()
    one.work.note = f"{found.milliseconds} ms"
    one.work.evidence["detail"] = found.detail
    one.judge(judge_health(found.status, found.milliseconds / 1000, HEALTH_SECONDS))


def _conversation(one: _Looking) -> None:
    if one.system.octopus is None:
        raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and check again.")
    names = one.system.qdrant.names() if one.system.has_qdrant else []
    collections = {name: name for name in names if not is_scratch(name)}
    judgement = try_out(one.system, one.system.octopus, one.database, collections)
    if judgement is None:
        one.work.note = "there is no agent, so there is nobody to talk to"
        return
    one.work.note = f"{judgement.evidence['tokens']} tokens in {judgement.evidence['seconds']:.1f} s"
    one.judge(judgement)


_LOOK_AT: dict[str, Callable[[_Looking], None]] = {
    "sql": _sql,
    "migrations": _migrations,
    "collections": _collections,
    "orphans": _orphans,
    "health": _health,
    "conversation": _conversation,
}
