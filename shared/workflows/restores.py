"""A restore: started by a plan's digest, done step by step, ended with a report.

The steps are those of the plan, in its order; each can be repeated. What each proved is kept in the run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import timedelta
from itertools import groupby
from typing import Any

from shared.catalogue.runs import KEPT
from shared.composition import System
from shared.errors import LockedError, NotFoundError, PlanChangedError, RefusedError
from shared.model.findings import ErrorInfo, Severity
from shared.model.plans import CollectionStep, FenceStep, Plan, StartRequest, SwapStep
from shared.model.runs import Run, RunKind, State, StepState
from shared.reporting import report_text
from shared.workflows import reports, restore_steps
from shared.workflows.backups import RESTORES
from shared.workflows.context import ActivityFailedError, Context, Task, windowed
from shared.workflows.left_behind import Left, as_json, findings_of, left_behind
from shared.workflows.measuring import keep_measures
from shared.workflows.plans import changes_since
from shared.workflows.restore_job import Job
from shared.workflows.restore_service import demand_fence, fence_again
from shared.workflows.retrying import persistently
from shared.workflows.runs import Start, Ticket, end_run, error_in, open_run, working
from shared.workflows.suspending import SUSPENDED, lift_at_end, lift_when_done, scopes_of, suspend
from shared.workflows.transitions import cancelled_error

COLLECTIONS_AT_ONCE = 4
"""Collections that are recovered at the same time; never two recoveries of one collection."""

PAUSE_GROWS = 1.25
"""Between two looks at something outside: short pauses at first, then long, because the engine replays every
one of them."""

_AWAITED = {"health": ("await_health", 1.0, 20.0), "rehydrate": ("await_rehydration", 15.0, 300.0)}
"""Kinds of steps that wait for something outside: the activity that looks, first and longest pause in
seconds. No pause may be longer than half of DEAD_AFTER, for each look is also the run's sign of life."""

STEP_PATIENCE = timedelta(hours=24)
"""How long a step waits for a backup that is under way, or for another delivery of the same step; either ends
by itself, and whoever does not want to wait cancels the restore."""

RECENT = 20
"""How many recovery points are looked at for one that is being made."""


def start_restore(system: System, request: StartRequest) -> Start:
    """Check that the plan still holds, and write its run down. Nothing is touched yet.

    A plan whose restore failed, was cancelled, or whose owner died, is resumed by starting it again: steps
    that succeeded are not repeated.

    Args:
        system: the system.
        request: the plan, its digest, and who says that Octopus was stopped.

    Raises:
        NotFoundError: there is no such plan.
        PlanChangedError: the digest is not the plan's, or a chosen file, the target's state or a used setting
            changed since the plan was made; or it was executed already.
        LockedError: another restore works on the same target; names it.
        RefusedError: the plan itself says why it must not be executed, too little space for instance; or it
            wants Octopus stopped, and nobody says that it was (``fence_needed``).
    """
    plan = system.catalogue.plans.get(request.plan_id)
    if request.digest != plan.digest:
        raise PlanChangedError(
            f"The digest is not that of plan {plan.id}.",
            "Read the plan again and start it with the digest that it shows.",
            code="digest_mismatch",
        )
    _demand_startable(plan)
    with system.catalogue.locks.hold(RESTORES, system.new_id()):  # a point and a start must see one another
        run = _run_of(system, plan, request)
        demand_fence(plan, run, hook=system.settings.octopus.stop_hook is not None)
        _refuse_while_point_is_made(system)
        system.catalogue.targets.hold(run.id, run.attempt, target_names(plan))
        try:
            _demand_unchanged(system, plan, resuming=run.attempt > 1)
            run = run.model_copy(update={"request": {**run.request, SUSPENDED: scopes_of(system, plan)}})
            open_run(system, run)
        except Exception:
            system.catalogue.targets.let_go(run.id, remember=run.attempt > 1)
            raise
    suspend(system, run)
    ticket = Ticket(run.kind, run.id, run.attempt)
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
                run_id=run.id,
            )


def _run_of(system: System, plan: Plan, request: StartRequest) -> Run:
    """The run of a plan: a new one, or the next attempt at the one that did not reach its end.

    Raises:
        LockedError: it is under way.
        PlanChangedError: it succeeded; or another one has worked on its targets since.
    """
    run_id = system.catalogue.claims.run_for_key(f"plan/{plan.id}", system.new_id())
    try:
        earlier = system.catalogue.runs.get(RunKind.RESTORE, run_id)
    except NotFoundError:
        return _new_run(system, plan, run_id, request)
    if earlier.state is State.SUCCEEDED:
        raise PlanChangedError(
            f"Plan {plan.id} was executed by restore {earlier.id}.", "Make a new plan.", code="plan_executed"
        )
    if not (earlier.ended or earlier.dead(system.clock.now())):
        raise LockedError(
            f"Restore {earlier.id} executes plan {plan.id} right now.",
            f"Follow it (GET /api/restores/{earlier.id}).",
            run_id=earlier.id,
        )
    if not system.catalogue.targets.untouched_since(earlier.id):
        raise PlanChangedError(
            f"Restore {earlier.id} cannot go on: another one has worked on its targets since, so what it had "
            "done may be gone.",
            "Make a new plan.",
            code="targets_taken",
        )
    by = {"fenced_by": request.fenced_by} if request.fenced_by else {}
    again = {"attempt": earlier.attempt + 1, "request": {**earlier.request, **by}}
    return earlier.model_copy(update=again)


def _demand_unchanged(system: System, plan: Plan, *, resuming: bool) -> None:
    changed = changes_since(system, plan, resuming=resuming)
    if changed:
        raise PlanChangedError(
            f"Plan {plan.id} no longer holds: {' '.join(changed)}",
            "Make a new plan, read it, and start it with its digest.",
        )


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
    """Every database and collection that a plan changes, told apart by a prefix."""
    state = plan.execution.target_state
    databases = dict.fromkeys(state.databases)
    for step in plan.execution.steps:
        if isinstance(step, SwapStep):
            databases |= dict.fromkeys(one for one in (step.restored, step.live, step.aside) if one)
    return [f"database:{name}" for name in databases] + [f"collection:{c}" for c in state.collections]


def _new_run(system: System, plan: Plan, run_id: str, request: StartRequest) -> Run:
    now = system.clock.now()
    by = {"fenced_by": request.fenced_by} if request.fenced_by else {}
    return Run(
        id=run_id,
        kind=RunKind.RESTORE,
        title=plan.summary,
        state=State.RUNNING,
        started_at=now,
        heartbeat_at=now,
        request={"plan_id": plan.id, "digest": plan.digest, "targets": target_names(plan), **by},
        steps=tuple(
            StepState(id=step.id, title=step.title, checklist=step.checklist) for step in plan.execution.steps
        ),
    )


def restore(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a restore. The first step that fails ends it; what was done is kept."""
    ticket = Ticket.of(payload).as_payload()
    try:
        groups = (yield from persistently(ctx, "begin_restore", payload))["groups"]
        for kind, first, beyond in groups:
            yield from _group(ctx, ticket, kind, range(first, beyond))
    except ActivityFailedError as failure:
        return (yield from persistently(ctx, "end_restore", {**ticket, "error": failure.as_dict()}))
    return (yield from persistently(ctx, "end_restore", ticket))


def _group(ctx: Context, ticket: dict[str, Any], kind: str, indexes: range) -> Generator[Task, Any]:
    payloads = [{**ticket, "index": index} for index in indexes]
    if kind == "collection":
        yield from collections(ctx, "restore_step", payloads, STEP_PATIENCE)
        return
    for payload in payloads:
        if kind in _AWAITED:
            name, pause, longest = _AWAITED[kind]
            while (yield from persistently(ctx, name, payload, lock_patience=STEP_PATIENCE))["again"]:
                yield ctx.timer(pause)
                pause = min(pause * PAUSE_GROWS, longest)
        else:
            yield from persistently(ctx, "restore_step", payload, lock_patience=STEP_PATIENCE)


def collections(
    ctx: Context, name: str, payloads: list[dict[str, Any]], lock_patience: timedelta
) -> Generator[Task, Any]:
    """All collections, some at once. One that fails does not stop the others, which are as needed.

    Args:
        ctx: the workflow's context.
        name: the activity that does one of them.
        payloads: one per collection.
        lock_patience: how long each waits for a lock.

    Raises:
        ActivityFailedError: one failed; the others have ended all the same.
    """
    results = yield from windowed(ctx, name, payloads, COLLECTIONS_AT_ONCE)
    failures = [
        result for result in results if isinstance(result, ActivityFailedError) and not result.retryable
    ]
    for payload, result in zip(payloads, results, strict=True):
        if isinstance(result, ActivityFailedError) and result.retryable:
            try:
                yield from persistently(ctx, name, payload, lock_patience=lock_patience)
            except ActivityFailedError as failure:
                failures.append(failure)
    if failures:
        raise failures[0]


def begin_restore(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: open the run, and tell the steps in groups of one kind: ``[kind, first, beyond]``.

    Raises:
        LockedError: another run took the targets over meanwhile.
    """
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    run = open_run(system, run.model_copy(update={"attempt": ticket.attempt}))
    if run.ended:
        return {"groups": []}
    plan = system.catalogue.plans.get(run.request["plan_id"])
    system.catalogue.targets.hold(run.id, run.attempt, target_names(plan))
    suspend(system, run)
    return {"groups": list(groups_of(plan))}


def groups_of(plan: Plan) -> Iterator[list[Any]]:
    """The steps of a plan in groups of one kind: ``[kind, first, beyond]``."""
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
    lift_when_done(system, run)
    again = isinstance(step, FenceStep) and fence_again(plan, run, step, ticket.attempt)
    if run.step(step.id).state is State.SUCCEEDED and not again:
        return {}
    with working(system, ticket, step.id, alone=True, keep=isinstance(step, CollectionStep)) as work:
        restore_steps.perform(Job(system, ticket, plan, work), step)
    return {}


def end_restore(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: write down how the restore ended, with its report."""
    run = end(system, Ticket.of(payload), error_in(payload))
    return {"state": run.state.value}


def end(system: System, ticket: Ticket, error: ErrorInfo | None = None) -> Run:
    """End a restore: its state, what it left where it did not come to its end, its report; timers go on.

    May be repeated.

    Args:
        system: the system.
        ticket: the run and the attempt.
        error: why it failed, where no step of its own says so.

    Returns:
        The run as it ended, whole.

    Raises:
        ConflictError: a later attempt works on the run.
    """
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    plan = system.catalogue.plans.get(run.request["plan_id"])
    whole_way = all(step.state is State.SUCCEEDED for step in run.steps)
    left: list[Left] = [] if whole_way else left_behind(system, run, plan)
    if error is None and run.cancel:
        error = ErrorInfo.model_validate(cancelled_error(run, run.cancel).as_dict())
    key = f"result/{ticket.attempt}"
    point_id = plan.execution.target.recovery_point_id
    point = system.catalogue.points.get(point_id) if point_id else None

    def kept(ended: Run) -> dict[str, Any]:  # before the state says that it ended: who sees that wants it
        whole = system.catalogue.runs.whole(ended.model_copy(update={"result": {}}))
        made = reports.made(system, whole, plan, point)
        result = {"report": made, "report_text": report_text(made), "left": as_json(left)}
        system.catalogue.runs.save_part(ended.id, key, result)
        return {KEPT: key}

    run = end_run(system, ticket, error=error, findings=findings_of(left), result=kept)
    whole = system.catalogue.runs.whole(run)
    reports.keep(system, whole, whole.result["report"])
    lift_at_end(system, run, left)
    keep_measures(system, run, plan)
    system.catalogue.targets.let_go(run.id, remember=run.state is not State.SUCCEEDED)
    return whole
