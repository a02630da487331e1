"""Steps that wait for something outside: one look at a time, so that no activity is held for hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.blob import tiers
from shared.checklist import judge_health
from shared.composition import System
from shared.errors import InvalidSettingsError, ProofFailedError, StorageError
from shared.model.plans import HealthStep, RehydrateStep, Step
from shared.model.runs import Run, State
from shared.octopus import hooks
from shared.planning.words import lasted
from shared.workflows.runs import Ticket, mark_waiting, working
from shared.workflows.suspending import lift_when_done
from shared.workflows.transitions import demand_not_cancelled

LONGEST_REHYDRATION = timedelta(hours=24)
"""Microsoft's documentation of rehydration names 15 hours for the standard priority, and an hour for the high
one with objects below 10 GB; then somebody has to look."""


def _step(system: System, payload: dict[str, Any]) -> tuple[Run, Step]:
    ticket = Ticket.of(payload)
    run = system.catalogue.runs.get(ticket.kind, ticket.run_id)
    return run, system.catalogue.plans.get(run.request["plan_id"]).execution.steps[payload["index"]]


def await_health(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one look at the Octopus API; ``again`` says whether to look once more."""
    ticket = Ticket.of(payload)
    run, step = _step(system, payload)
    lift_when_done(system, run)
    state = run.step(step.id)
    if state.state is State.SUCCEEDED:
        return {"again": False}
    if system.octopus is None:
        raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and resume the restore.")
    demand_not_cancelled(run)
    started = _started(system, ticket, step)
    deadline = system.settings.octopus.wait_seconds
    found = system.octopus.health()
    waited = (system.clock.now() - (state.started_at or system.clock.now())).total_seconds()
    if not found.healthy and waited < deadline:
        who = "it was told to start" if started else "start the Octopus API now"
        note = f"{who}; waiting since {waited:.0f} s of {deadline} s ({found.detail[:80]})"
        mark_waiting(system, ticket, step.id, note, min(99, int(waited * 100 / deadline)))
        return {"again": True}
    with working(system, ticket, step.id, alone=True) as work:
        judgement = judge_health(found.status, waited, float(deadline))
        work.evidence |= judgement.as_json() | ({"start_hook": started} if started else {})
        if not judgement.passed:
            raise ProofFailedError(
                " ".join(judgement.mismatches),
                "The data is restored. Start the API, look at its log, and check it by hand.",
                meaning="Checklist items 4 and 5 are open.",
            )
        work.note = f"{found.milliseconds} ms"
    return {"again": False}


def _started(system: System, ticket: Ticket, step: Step) -> dict[str, Any] | None:
    """Call the hook that starts the API, once in each attempt; None where there is none to call."""
    if not isinstance(step, HealthStep) or not step.hook:
        return None
    runs, key = system.catalogue.runs, f"hook/{step.id}/{ticket.attempt}"
    known = runs.find_part(ticket.run_id, key)
    if known is not None:
        return known
    address = system.settings.octopus.start_hook
    if address is None:
        raise InvalidSettingsError(
            "OCTOPUS_START_HOOK is no longer set.", "Set it, or start the API by hand and make a new plan."
        )
    mark_waiting(system, ticket, step.id, "the Octopus API is told to start")
    answer = hooks.call("OCTOPUS_START_HOOK", address, system.clock).as_json()
    runs.save_part(ticket.run_id, key, answer)
    return answer


def await_rehydration(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: ask for archived blobs, and look once whether they are online; ``again`` as above."""
    ticket = Ticket.of(payload)
    run, step = _step(system, payload)
    state = run.step(step.id)
    if state.state is State.SUCCEEDED or not isinstance(step, RehydrateStep):
        return {"again": False}
    demand_not_cancelled(run)
    pending = tiers.bring_online(system.storage, step.files)
    waited = system.clock.now() - (state.started_at or system.clock.now())
    online = len(step.files) - len(pending)
    if pending and waited < LONGEST_REHYDRATION:
        note = f"{online} of {len(step.files)} blob(s) are online, after {lasted(waited)}"
        mark_waiting(system, ticket, step.id, note, online * 100 // len(step.files))
        return {"again": True}
    with working(system, ticket, step.id, alone=True) as work:
        work.evidence |= {"blobs": len(step.files), "online": online}
        work.note = f"{online} of {len(step.files)} blob(s) are online"
        if pending:
            raise StorageError(
                f"{len(pending)} blob(s) are still archived after {lasted(waited)}, for instance "
                f"{pending[0]}.",
                "Look at them in the storage account. When they are online, start the same plan again.",
                code="rehydration_too_slow",
                meaning="Nothing was restored yet.",
            )
    return {"again": False}
