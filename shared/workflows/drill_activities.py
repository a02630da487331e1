"""The activities of a drill: its plan, its steps, what it leaves behind, and its report."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.catalogue.runs import KEPT
from shared.composition import System, for_drill
from shared.errors import BackupSystemError, LockedError, PlanChangedError
from shared.model.backups import Quality
from shared.model.drills import Reference
from shared.model.findings import ErrorInfo
from shared.model.plans import CleanUpStep, CollectionStep, Plan, SqlProofStep
from shared.model.points import RecoveryPoint
from shared.model.runs import Run, RunKind, State, StepState
from shared.planning.drill_figures import Age, Figures, figures, missed
from shared.reporting.drills import drill_report, drill_text
from shared.workflows import drill_steps
from shared.workflows.drill_plans import ages, drill_plan
from shared.workflows.measuring import keep_measures
from shared.workflows.plans import known
from shared.workflows.restore_job import Job
from shared.workflows.restores import groups_of
from shared.workflows.runs import Ticket, end_run, error_in, open_run, working
from shared.workflows.starts import claim_for, slot_of

log = logging.getLogger(__name__)

PLAN = "plan"
"""The step in which the drill's plan is made; the others are the plan's own."""

ATTEMPT = "begun_as_attempt"
"""In a drill's request: the attempt that its steps belong to, from the second on."""

DRILLS = "drills"
"""The lock under which a drill looks whether another one is under way."""

RECENT = 50
"""So many drills and restores are looked at for one that is under way or left something behind."""


def new_drill(system: System, ticket: Ticket, request: dict[str, Any], slot: datetime | None) -> Run:
    """The run of a drill as it is before it is planned."""
    point = request.get("recovery_point")
    now = system.clock.now()
    return Run(
        id=ticket.run_id,
        kind=RunKind.DRILL,
        title=f"Drill of recovery point {point}" if point else "Drill of the newest recovery point",
        state=State.RUNNING,
        attempt=ticket.attempt,
        slot=slot,
        started_at=now,
        heartbeat_at=now,
        request=request,
        steps=(StepState(id=PLAN, title="Choose the recovery point and plan its restore"),),
    )


def demand_quiet(system: System, run_id: str) -> None:
    """Make sure that no other drill, and no restore, is under way: a restore goes first, and drills wait.

    Raises:
        LockedError: one is.
    """
    now = system.clock.now()
    for kind, path in ((RunKind.RESTORE, "restores"), (RunKind.DRILL, "drills")):
        for run in system.catalogue.runs.recent(kind, RECENT):
            if run.id != run_id and not run.ended and not run.dead(now):
                raise LockedError(
                    f"{kind.value.capitalize()} {run.id} is under way.",
                    f"Start the drill when it has ended (GET /api/{path}/{run.id}).",
                    run_id=run.id,
                )


def begin_drill(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: claim the slot, if the drill is for one, and open its run.

    A later attempt takes nothing over: it removes what the earlier one restored and begins anew, because a
    duration with a break in it measures nothing.

    Returns:
        ``go``: whether to go on; ``why`` where it is not to go on.
    """
    ticket = Ticket.of(payload)
    taken = claim_for(system, ticket, payload)
    if taken:
        return {"go": False, "why": taken}
    slot = slot_of(payload)
    with system.catalogue.locks.hold(DRILLS, ticket.run_id):
        if slot is not None:
            demand_quiet(system, ticket.run_id)
        run = open_run(system, new_drill(system, ticket, payload["request"], slot))
    if run.ended:
        return {"go": False, "why": f"Run {run.id} has ended already: {run.state}."}
    if run.request.get(ATTEMPT, 1) != ticket.attempt:
        clean_up_drill(system, payload)
        fresh = new_drill(system, ticket, {**payload["request"], ATTEMPT: ticket.attempt}, slot)
        system.catalogue.runs.update(ticket.kind, run.id, ticket.attempt, lambda _: fresh)
    return {"go": True}


def plan_drill(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: make the plan, once. What earlier drills left behind is removed first.

    Returns:
        ``groups``: the steps to do before the copies are removed, as ``[kind, first, beyond]``.
    """
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    if run.step(PLAN).state is State.SUCCEEDED:
        return {"groups": _groups(system.catalogue.plans.get(run.request["plan_id"]))}
    with working(system, ticket, PLAN, alone=True) as work:
        practised = for_drill(system)
        _clear_others(system, ticket.run_id)
        what = known(practised)
        plan = drill_plan(practised, run.request.get("recovery_point"), what)
        system.catalogue.plans.save(plan)
        point = system.catalogue.points.get(plan.execution.target.recovery_point_id or "")
        old = ages(practised, what, point, run.started_at)
        work.evidence |= {"plan_id": plan.id, "recovery_point": point.id, "ages": old.as_json()}
        work.note = plan.summary
        planned = partial(_planned, plan=plan)
        system.catalogue.runs.update(ticket.kind, run.id, ticket.attempt, planned)
    return {"groups": _groups(plan)}


def _clear_others(system: System, run_id: str) -> None:
    """Remove what earlier drills left behind; where that fails, the status goes on telling of it."""
    try:
        clear(system, besides=run_id)
    except BackupSystemError as error:
        log.warning("An earlier drill could not be cleaned up after: %s", error)


def _planned(run: Run, plan: Plan) -> Run:
    steps = tuple(
        StepState(id=step.id, title=step.title, checklist=step.checklist) for step in plan.execution.steps
    )
    request = {**run.request, "plan_id": plan.id, "digest": plan.digest}
    return run.model_copy(update={"request": request, "steps": (run.step(PLAN), *steps)})


def _groups(plan: Plan) -> list[list[Any]]:
    return [group for group in groups_of(plan) if group[0] != "clean_up"]


def drill_step(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one step of the plan, unless it is done. A restore that began meanwhile goes first."""
    ticket = Ticket.of(payload)
    run, plan = _run_and_plan(system, ticket)
    steps, index = plan.execution.steps, payload["index"]
    step = steps[index]
    if run.step(step.id).state is State.SUCCEEDED:
        return {}
    with working(system, ticket, step.id, alone=True, keep=isinstance(step, CollectionStep)) as work:
        if index == 0 or steps[index - 1].kind != step.kind:  # a thousand collections look once
            demand_quiet(system, run.id)
        drill_steps.perform(Job(for_drill(system), ticket, plan, work), step)
    return {}


def clean_up_drill(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: remove the copies that the drill made, however far it came."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    if "plan_id" not in run.request:
        return {}
    run, plan = _run_and_plan(system, ticket)
    for step in plan.execution.steps:
        if isinstance(step, CleanUpStep) and run.step(step.id).state is not State.SUCCEEDED:
            with working(system, ticket, step.id, alone=True) as work:
                drill_steps.perform(Job(for_drill(system), ticket, plan, work), step)
    return {}


def _run_and_plan(system: System, ticket: Ticket) -> tuple[Run, Plan]:
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    plan = system.catalogue.plans.get(run.request["plan_id"])
    if plan.execution.digest() != run.request["digest"]:
        raise PlanChangedError(
            f"The stored plan {plan.id} is no longer the one that drill {run.id} was begun with.",
            "Find out who changed it.",
            code="digest_mismatch",
            meaning="The drill stops where it is.",
        )
    return run, plan


def left_over(system: System, besides: str = "") -> list[Run]:
    """Drills that have ended or died, and may have left copies behind."""
    now = system.clock.now()
    return [
        run
        for run in system.catalogue.runs.recent(RunKind.DRILL, RECENT)
        if run.id != besides
        and (run.ended or run.dead(now))
        and any(step.id.endswith("-clean_up") and step.state is not State.SUCCEEDED for step in run.steps)
    ]


def clear(system: System, besides: str = "") -> list[str]:
    """Remove what drills left behind that died or were interrupted; each of them ends as failed.

    Returns:
        The ids of these drills.

    Raises:
        BackupSystemError: something could not be removed; the rest was.
    """
    cleared: list[str] = []
    failures: list[BackupSystemError] = []
    for run in left_over(system, besides):
        ticket = Ticket(run.kind, run.id, run.attempt + 1)
        why = run.error or ErrorInfo(
            code="interrupted",
            message="The drill's host was gone before it had ended.",
            hint="What it left behind was removed later. Start another drill.",
        )
        open_run(system, run.model_copy(update={"attempt": ticket.attempt}))
        try:
            clean_up_drill(system, ticket.as_payload())
            cleared.append(run.id)
        except BackupSystemError as error:
            failures.append(error)
        end_run(system, ticket, error=why, findings=run.findings)
    if failures:
        raise failures[0]
    return cleared


def end_drill(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: keep what was learnt of the recovery point, and write down how the drill ended."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.whole(system.catalogue.runs.get(ticket.kind, ticket.run_id))
    plan = system.catalogue.plans.get(run.request["plan_id"]) if "plan_id" in run.request else None
    point_id = plan.execution.target.recovery_point_id if plan else None
    point = system.catalogue.points.get(point_id) if point_id else None
    if plan and point:
        _keep_reference(system, run, plan, point)
    measured = _figures(system, run)
    findings = tuple(missed(measured)) if measured else ()
    key = f"result/{ticket.attempt}"
    brief = {
        KEPT: key,
        "recovery_point": point_id,
        "figures": measured.model_dump(mode="json", exclude={"steps"}) if measured else None,
    }
    ended = end_run(system, ticket, error=error_in(payload), findings=findings, result=lambda _: brief)
    made = drill_report(ended.model_copy(update={"steps": run.steps}), plan, point, measured, findings)
    text = drill_text(made)
    system.catalogue.runs.save_part(run.id, key, {"report": made, "report_text": text})
    system.catalogue.reports.save(run.id, run.attempt, {**made, "text": text})
    if plan:
        keep_measures(system, ended, plan)
    return {"state": ended.state.value}


def _figures(system: System, run: Run) -> Figures | None:
    """None of a drill that was not even planned."""
    old = run.step(PLAN).evidence.get("ages")
    if old is None:
        return None
    drill = system.settings.drill
    rpo, rto = timedelta(minutes=drill.rpo_minutes), timedelta(minutes=drill.rto_minutes)
    return figures(run, Age.model_validate(old), rpo, rto)


def _keep_reference(system: System, run: Run, plan: Plan, point: RecoveryPoint) -> None:
    """Keep the counted rows of databases that were only counted approximately when the point was made.

    Only where the newest marker row of the restored copy is that of this very point.
    """
    marks = {side.database: side.mark_name for side in point.sql if side.mark_name}
    weak = {
        side.database for side in point.sql if _approximate(count.quality for count in side.tables.values())
    }
    counted: dict[str, dict[str, int]] = {}
    for step in plan.execution.steps:
        if not isinstance(step, SqlProofStep) or step.database not in weak & marks.keys():
            continue
        state = run.step(step.id)
        proof = state.evidence
        marker = {"mark_name": marks[step.database], "point_id": point.id}
        if state.state is State.SUCCEEDED and proof.get("marker") == marker:
            tables = {table: one["found"] for table, one in proof["tables"].items()}
            counted[step.database] = {table: rows for table, rows in tables.items() if rows is not None}
    if counted:
        system.catalogue.references.add(
            Reference(point_id=point.id, run_id=run.id, counted_at=system.clock.now(), databases=counted)
        )


def _approximate(qualities: Iterable[Quality]) -> bool:
    return Quality.APPROXIMATE in set(qualities)
