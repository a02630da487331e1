"""A restore: started by a plan's digest, done step by step, ended with a report.

The steps are those of the plan, in its order; each can be repeated. What each proved is kept in the run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import groupby
from typing import Any

from shared.checklist import judge_health
from shared.composition import System
from shared.errors import InvalidSettingsError, LockedError, PlanChangedError, ProofFailedError, RefusedError
from shared.model.findings import Severity
from shared.model.plans import Plan, StartRequest
from shared.model.runs import Run, RunKind, State, StepState
from shared.reporting import report, report_text
from shared.workflows import restore_steps
from shared.workflows.backups import RESTORES, refuse_while_restored
from shared.workflows.context import ActivityFailedError, Context, Task, windowed
from shared.workflows.plans import changes_since
from shared.workflows.restore_job import Job
from shared.workflows.retrying import persistently
from shared.workflows.runs import Start, Ticket, end_run, error_in, mark_waiting, open_run, working

COLLECTIONS_AT_ONCE = 4
"""Collections that are recovered at the same time; never two recoveries of one collection."""

FIRST_PAUSE_SECONDS, PAUSE_GROWS, LONGEST_PAUSE_SECONDS = 1.0, 1.25, 20.0
"""Between two looks at the API: short at first, then long, because the engine replays every one of them."""

RECENT = 20
"""How many restores are looked at for one of the same plan."""


def start_restore(system: System, request: StartRequest) -> Start:
    """Check that the plan still holds, and write its run down. Nothing is touched yet.

    A plan whose restore failed, or whose owner died, is resumed by starting it again: steps that succeeded
    are not repeated.

    Raises:
        NotFoundError: there is no such plan.
        PlanChangedError: the digest is not the plan's, or a chosen file, the target's state or a used setting
            changed since the plan was made; or it was executed already.
        LockedError: another restore works on the same target.
        RefusedError: the plan itself says why it must not be executed, too little space for instance.
    """
    plan = system.catalogue.plans.get(request.plan_id)
    if request.digest != plan.digest:
        raise PlanChangedError(
            f"The digest is not that of plan {plan.id}.",
            "Read the plan again and start it with the digest that it shows.",
            code="digest_mismatch",
        )
    _demand_startable(plan)
    with system.catalogue.locks.hold(RESTORES, system.new_id()):  # two starts at once must see one another
        run = _run_of(system, plan)
        ticket = Ticket(RunKind.RESTORE, run.id, run.attempt)
        refuse_while_restored(system, ticket, target_names(plan), waiting_too=True)
        _refuse_while_point_is_made(system)
        changed = changes_since(system, plan, resuming=run.attempt > 1)
        if changed:
            raise PlanChangedError(
                f"Plan {plan.id} no longer holds: {' '.join(changed)}",
                "Make a new plan, read it, and start it with its digest.",
            )
        open_run(system, run)
    return Start("restore", ticket.as_payload(), f"restore-{run.id}-{run.attempt}", run.id)


def _refuse_while_point_is_made(system: System) -> None:
    """A recovery point whose stores change under it would pair what does not belong together.

    Raises:
        LockedError: one is being made.
    """
    now = system.clock.now()
    for run in system.catalogue.runs.recent(RunKind.RECOVERY_POINT, RECENT):
        if not run.ended and not run.dead(now):
            raise LockedError(
                f"Recovery point run {run.id} is under way.",
                f"Start the restore when it has ended (GET /api/recovery-points/{run.id}), or when its host "
                "has been silent for ten minutes.",
            )


def _run_of(system: System, plan: Plan) -> Run:
    """The run of a plan: a new one, or the next attempt at the one that did not reach its end.

    Raises:
        LockedError: it is under way.
        PlanChangedError: it succeeded.
    """
    runs = system.catalogue.runs.recent(RunKind.RESTORE, RECENT)
    earlier = next((run for run in runs if run.request.get("plan_id") == plan.id), None)
    if earlier is None:
        return _new_run(system, plan)
    if earlier.state is State.SUCCEEDED:
        raise PlanChangedError(
            f"Plan {plan.id} was executed by restore {earlier.id}.", "Make a new plan.", code="plan_executed"
        )
    if not (earlier.ended or earlier.dead(system.clock.now())):
        raise LockedError(
            f"Restore {earlier.id} executes plan {plan.id} right now.",
            f"Follow it (GET /api/restores/{earlier.id}).",
        )
    return earlier.model_copy(update={"attempt": earlier.attempt + 1})


def _demand_startable(plan: Plan) -> None:
    """A plan that says STOP is not executed."""
    stops = [finding for finding in plan.findings if finding.severity is Severity.ERROR]
    if stops:
        raise RefusedError(
            " ".join(finding.message for finding in stops),
            " ".join(finding.hint for finding in stops),
            code=stops[0].code,
        )


def target_names(plan: Plan) -> list[str]:
    """Every database and collection that a plan restores to, told apart by a prefix."""
    state = plan.execution.target_state
    return [f"database:{name}" for name in state.databases] + [f"collection:{c}" for c in state.collections]


def _new_run(system: System, plan: Plan) -> Run:
    now = system.clock.now()
    return Run(
        id=system.new_id(),
        kind=RunKind.RESTORE,
        title=plan.summary,
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
        request={"plan_id": plan.id, "digest": plan.digest, "targets": target_names(plan)},
        steps=tuple(
            StepState(id=step.id, title=step.title, checklist=step.checklist) for step in plan.execution.steps
        ),
    )


def restore(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a restore. The first step that fails ends it; what was done is kept."""
    ticket = Ticket.of(payload).as_payload()
    try:
        groups = (yield ctx.activity("begin_restore", payload))["groups"]
        for kind, first, beyond in groups:
            yield from _group(ctx, ticket, kind, range(first, beyond))
    except ActivityFailedError as failure:
        return (yield ctx.activity("end_restore", {**ticket, "error": failure.as_dict()}))
    return (yield ctx.activity("end_restore", ticket))


def _group(ctx: Context, ticket: dict[str, Any], kind: str, indexes: range) -> Generator[Task, Any]:
    payloads = [{**ticket, "index": index} for index in indexes]
    if kind == "collection":
        # One collection that fails does not stop the others: they are as needed without it.
        results = yield from windowed(ctx, "restore_step", payloads, COLLECTIONS_AT_ONCE)
        for payload, result in zip(payloads, results, strict=True):
            if isinstance(result, ActivityFailedError):
                if not result.retryable:
                    raise result
                yield from persistently(ctx, "restore_step", payload)
        return
    for payload in payloads:
        if kind == "health":
            pause = FIRST_PAUSE_SECONDS
            while (yield from persistently(ctx, "await_health", payload))["again"]:
                yield ctx.timer(pause)
                pause = min(pause * PAUSE_GROWS, LONGEST_PAUSE_SECONDS)
        else:
            yield from persistently(ctx, "restore_step", payload)


def begin_restore(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: open the run, and tell the steps in groups of one kind: ``[kind, first, beyond]``."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    run = open_run(system, run.model_copy(update={"attempt": ticket.attempt}))
    if run.ended:
        return {"groups": []}
    plan = system.catalogue.plans.get(run.request["plan_id"])
    return {"groups": list(_groups(plan))}


def _groups(plan: Plan) -> Iterator[list[Any]]:
    first = 0
    for kind, steps in groupby(plan.execution.steps, key=lambda step: step.kind):
        beyond = first + len(list(steps))
        yield [kind, first, beyond]
        first = beyond


def restore_step(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one step of the plan. Done steps are not repeated."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    plan = system.catalogue.plans.get(run.request["plan_id"])
    if plan.execution.digest() != run.request["digest"]:
        raise PlanChangedError(
            f"The stored plan {plan.id} is no longer the one that restore {run.id} was started with.",
            "Find out who changed it. Make a new plan.",
            code="digest_mismatch",
            meaning="The restore stops where it is.",
        )
    step = plan.execution.steps[payload["index"]]
    if run.step(step.id).state is State.SUCCEEDED:
        return {}
    with working(system, ticket, step.id) as work:
        restore_steps.perform(Job(system, ticket, plan, work), step)
    return {}


def await_health(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one look at the Octopus API; ``again`` says whether to look once more."""
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    step = system.catalogue.plans.get(run.request["plan_id"]).execution.steps[payload["index"]]
    state = run.step(step.id)
    if state.state is State.SUCCEEDED:
        return {"again": False}
    if system.octopus is None:
        raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and resume the restore.")
    deadline = system.settings.octopus.wait_seconds
    found = system.octopus.health()
    waited = (system.clock.now() - (state.started_at or system.clock.now())).total_seconds()
    if not found.healthy and waited < deadline:
        note = (
            f"start the Octopus API now; waiting since {waited:.0f} s of {deadline} s ({found.detail[:80]})"
        )
        mark_waiting(system, ticket, step.id, note)
        return {"again": True}
    with working(system, ticket, step.id) as work:
        judgement = judge_health(found.status, waited, float(deadline))
        work.evidence |= judgement.as_json()
        if not judgement.passed:
            raise ProofFailedError(
                " ".join(judgement.mismatches),
                "The data is restored. Start the API, look at its log, and check it by hand.",
                meaning="Checklist items 4 and 5 are open.",
            )
        work.note = f"{found.milliseconds} ms"
    return {"again": False}


def end_restore(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: write down how the restore ended, with its report."""
    ticket = Ticket.of(payload)

    def reported(run: Run) -> dict[str, Any]:
        plan = system.catalogue.plans.get(run.request["plan_id"])
        point_id = plan.execution.target.recovery_point_id
        made = report(run, plan, system.catalogue.points.get(point_id) if point_id else None)
        return {"report": made, "report_text": report_text(made)}

    run = end_run(system, ticket, error=error_in(payload), result=reported)
    system.catalogue.reports.save(run.id, run.attempt, run.result["report"])
    return {"state": run.state.value}
