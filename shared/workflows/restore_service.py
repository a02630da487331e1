"""Out of service and into it: the Octopus API is stopped, and what was restored gets the live name."""

from __future__ import annotations

from typing import Any

from shared.catalogue.runs import Runs
from shared.errors import InvalidSettingsError, RefusedError, StoreError, TargetInTheWayError
from shared.model.plans import AftermathStep, ConversationStep, FenceStep, HealthStep, Plan, SwapStep
from shared.model.runs import Run, State
from shared.octopus import hooks
from shared.stores.sqlserver import DatabaseState
from shared.stores.sqlserver.statements import quote_name
from shared.workflows.left_behind import begun_key
from shared.workflows.restore_job import Job

LOOKS = 3
"""So often in a row the API must be seen to be down: behind a load balancer instances stop one by one."""

LOOK_SECONDS = 3.0
"""How long one look waits for an answer. A machine that is switched off answers nothing at all."""

PAUSE_SECONDS = 2.0
FENCE_SECONDS = 180.0
"""How long a stopped API may take to be down; requests under way are often given a minute or two."""

SEEN_LATELY_SECONDS = 15.0
"""Between two looks while many small steps follow one another."""

_STOP_IT = (
    "Stop it, and what starts it again by itself (a health probe, an autoscaler, a deployment); then start "
    "the same plan again: what was done is kept."
)


def demand_fence(plan: Plan, run: Run, *, hook: bool) -> None:
    """Make sure that a plan that wants Octopus stopped has somebody, or something, that stops it.

    Args:
        plan: the plan.
        run: its run; ``fenced_by`` in its request names who says that the API was stopped.
        hook: whether OCTOPUS_STOP_HOOK is set.

    Raises:
        RefusedError: nobody does.
    """
    fences = [step for step in plan.execution.steps if isinstance(step, FenceStep)]
    if fences and not run.request.get("fenced_by") and not (hook and all(step.hook for step in fences)):
        raise RefusedError(
            "The Octopus API must be stopped before this restore: it migrates, creates collections and "
            "purges while it runs. No hook stops it, and nobody says that it was stopped.",
            'Stop it, then say so: "fenced_by" with your name in the request, or --fenced-by NAME. Or set '
            "OCTOPUS_STOP_HOOK and make a new plan.",
            code="fence_needed",
        )


def fence(job: Job, step: FenceStep) -> None:
    """Stop the API, or take a person's word for it, and see that it is down."""
    settings, person = job.system.settings.octopus, job.work.run.request.get("fenced_by")
    if step.hook and settings.stop_hook is not None:
        job.work.note = "the Octopus API is told to stop"
        job.work.evidence["stop_hook"] = hooks.call(
            "OCTOPUS_STOP_HOOK", settings.stop_hook, job.system.clock
        ).as_json()
    elif person is None:
        raise InvalidSettingsError(
            "OCTOPUS_STOP_HOOK is no longer set.",
            "Set it, or stop the API by hand and start the same plan again with your name "
            "(--fenced-by NAME).",
        )
    if person is not None:
        job.work.evidence["fenced_by"] = person
    job.work.evidence["attempt"] = job.ticket.attempt
    if job.system.octopus is None:
        job.work.evidence["seen_down"] = None
        job.work.note = "nobody looked whether it is down: OCTOPUS_API_URL is not set"
        return
    job.work.evidence["seen_down"] = _seen_down(job)
    stopped = f"stopped by {person}" if person and "stop_hook" not in job.work.evidence else "stopped"
    job.work.note = f"{stopped}, and seen to be down {LOOKS} times"


def _seen_down(job: Job) -> list[dict[str, Any]]:
    """Look until the API was down several times in a row.

    Raises:
        StoreError: it still answers after the longest wait.
    """
    clock = job.system.clock
    deadline = clock.monotonic() + FENCE_SECONDS
    looks: list[dict[str, Any]] = []
    while True:
        found = job.octopus.health(LOOK_SECONDS)
        if found.healthy:
            looks.clear()
        else:
            looks.append({"status": found.status, "detail": found.detail[:100]})
        job.work.progress(len(looks) * 100 // LOOKS)
        if len(looks) == LOOKS:
            return looks
        if found.healthy and clock.monotonic() > deadline:
            raise StoreError(
                f"The Octopus API still answers that it is healthy, {FENCE_SECONDS:.0f} s after it was to "
                "stop.",
                _STOP_IT,
                code="octopus_not_stopped",
                meaning="Nothing was touched.",
            )
        clock.sleep(PAUSE_SECONDS)


def fence_again(plan: Plan, run: Run, step: FenceStep, attempt: int) -> bool:
    """Whether an API that an earlier attempt stopped must be stopped once more.

    It may have been started since. Nobody minds once all is done that it could disturb.
    """
    if run.step(step.id).evidence.get("attempt") == attempt:
        return False
    disturbed = (one for one in plan.execution.steps if not isinstance(one, _WITH_OCTOPUS | FenceStep))
    return any(run.step(one.id).state is not State.SUCCEEDED for one in disturbed)


_WITH_OCTOPUS = HealthStep | ConversationStep | AftermathStep
"""Steps that are done while the API runs, or may be."""


def demand_stopped(job: Job, *, always: bool = True) -> None:
    """Make sure that a stopped API has not come up in the middle of a restore.

    Args:
        job: the step that is about to write.
        always: else a look of some seconds ago is good enough.

    Raises:
        StoreError: it answers that it is healthy.
    """
    fences = any(isinstance(step, FenceStep) for step in job.plan.execution.steps)
    if not fences or job.system.octopus is None:
        return
    runs, now = job.system.catalogue.runs, job.system.clock.now()
    if not always and _seen_lately(runs, job.ticket.run_id, now.timestamp()):
        return
    if job.octopus.health(LOOK_SECONDS).healthy:
        raise StoreError(
            "The Octopus API was stopped, and answers again in the middle of the restore.",
            f"{_STOP_IT} It may have migrated a database, created empty collections or purged rows: compare "
            "what was restored before it came up, or make a new plan and restore that again.",
            code="octopus_came_up",
            meaning="The restore stops before it writes anything more.",
        )
    runs.save_part(job.ticket.run_id, _SEEN, {"at": now.timestamp()})


_SEEN = "octopus-seen-down"


def _seen_lately(runs: Runs, run_id: str, now: float) -> bool:
    seen = runs.find_part(run_id, _SEEN)
    return seen is not None and 0 <= now - float(seen["at"]) < SEEN_LATELY_SECONDS


def swap(job: Job, step: SwapStep) -> None:
    """Exchange two databases' names. Goes on from wherever an earlier attempt was cut off.

    Which database is which is told by its files, whose names no renaming changes; they are written down
    before anything is.

    Raises:
        TargetInTheWayError: a name belongs to a database that is neither of the two.
        BackupSystemError: SQL Server refused.
    """
    sql, runs = job.system.sqlserver, job.system.catalogue.runs
    names = [step.restored, step.live, *([step.aside] if step.aside else [])]
    before = runs.find_part(job.ticket.run_id, begun_key(step.id))
    if before is None:
        restored, live = sql.inspect(step.restored), sql.inspect(step.live)
        _demand_both(step, restored, live)
        before = {"restored": _files(restored), "live": _files(live)}
        runs.save_part(job.ticket.run_id, begun_key(step.id), before)
    done = []
    if step.aside and _is(sql.inspect(step.live), before["live"]):
        job.work.check()
        done.append(sql.rename(step.live, step.aside))
    if _is(sql.inspect(step.restored), before["restored"]):
        job.work.check()
        done.append(sql.rename(step.restored, step.live))
    after = {one: sql.inspect(one) for one in names}
    _demand_exchanged(step, after, before)
    for database in names:
        sql.let_in(database)  # an attempt that died behind the renaming left it closed
    in_service = quote_name(step.live)
    undo = [f"ALTER DATABASE {in_service} MODIFY NAME = {quote_name(step.restored)};"]
    if step.aside:
        undo.append(f"ALTER DATABASE {quote_name(step.aside)} MODIFY NAME = {in_service};")
    job.work.evidence |= {
        "before": {step.restored: before["restored"], step.live: before["live"]},
        "after": {one: _files(state) for one, state in after.items()},
        "renamed_now": [f"{was['from']} to {was['to']}" for was in done],
        "undo": undo,
    }
    kept = f"; what it was is {step.aside}" if step.aside else ""
    job.work.note = f"{step.live} is in service{kept}. Undo: {' '.join(undo)}"


def _files(state: DatabaseState) -> list[str]:
    return [file.physical_name for file in state.files]


def _is(state: DatabaseState, files: list[str]) -> bool:
    return bool(files) and _files(state) == files


def _demand_both(step: SwapStep, restored: DatabaseState, live: DatabaseState) -> None:
    for state in (restored, *([live] if step.aside else [])):
        if state.state_desc != "ONLINE":
            raise RefusedError(
                f"{state.database} is {state.state_desc}, so names cannot be exchanged.",
                "Make a new plan.",
                code="not_online",
            )
    if step.aside is None and live.exists:
        raise TargetInTheWayError(
            f"There is a database {step.live} now, and the plan does not say where it should go.",
            "Make a new plan.",
            code="name_taken",
        )


def _demand_exchanged(step: SwapStep, after: dict[str, DatabaseState], before: dict[str, Any]) -> None:
    """Make sure that each of the two has the name that it was to get."""
    right = _is(after[step.live], before["restored"])
    if step.aside:
        right = right and _is(after[step.aside], before["live"])
    if not right:
        raise TargetInTheWayError(
            f"The names are not as they should be after the exchange: {step.live} is "
            f"{after[step.live].state_desc}, and its files are {_files(after[step.live])}.",
            "Somebody else has renamed a database meanwhile. Compare the names with the step's evidence, and "
            "put them right by hand.",
            code="names_unclear",
        )
