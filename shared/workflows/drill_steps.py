"""The steps of a drill: those of a restore under scratch names, then a sample, then the copies' removal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from shared.errors import BackupSystemError, ProofFailedError
from shared.model.plans import CleanUpStep, CollectionStep, SampleStep, Step
from shared.model.runs import State
from shared.planning.drilling import demand_scratch
from shared.workflows import restore_steps
from shared.workflows.restore_job import Job


def perform(job: Job, step: Step) -> None:
    """Do one step of a drill; nothing is done before all of the drill was seen to write to copies only.

    Raises:
        RefusedError: ``drill_not_scratch``, see :func:`shared.planning.drilling.demand_scratch`.
        BackupSystemError: it failed; says what that means and what to do.
    """
    demand_scratch(job.plan.execution)
    match step:
        case SampleStep():
            _sample(job, step)
        case CleanUpStep():
            _clean_up(job, step)
        case _:
            restore_steps.perform(job, step)


def _sample(job: Job, step: SampleStep) -> None:
    tables = {database: job.system.sqlserver.read_tables(database) for database in step.databases}
    searched: dict[str, Any] = {}
    for number, collection in enumerate(step.collections):
        job.work.progress(number * 100 // len(step.collections))
        searched[collection] = job.system.qdrant.search(collection)
    job.work.evidence |= {"rows_read": tables, "searched": searched}
    read = sum(len(one) for one in tables.values())
    job.work.note = f"{read} tables and {len(searched)} collections were read"
    if step.left_out:
        shown = ", ".join(step.left_out[:5]) + (" and more" if len(step.left_out) > 5 else "")
        raise ProofFailedError(
            f"{len(step.left_out)} collection(s) of the recovery point cannot be restored from it: {shown}.",
            "The plan's losses say why. Make another recovery point, and drill that.",
            code="not_all_restored",
            meaning="What was restored is proven, and it is not all.",
        )


def _clean_up(job: Job, step: CleanUpStep) -> None:
    """Remove every copy; one that cannot be removed does not keep the others.

    Raises:
        BackupSystemError: the first failure.
    """
    run_id, runs = job.ticket.run_id, job.system.catalogue.runs
    begun = {
        one.target: one.id
        for one in job.plan.execution.steps
        if isinstance(one, CollectionStep) and runs.find_part(run_id, f"begun/{one.id}")
    }
    settled = {one.id for one in job.work.run.steps if one.state is State.SUCCEEDED}
    outcomes: dict[str, str] = {}
    failures: list[BackupSystemError] = []

    def remove(what: str, name: str, how: Callable[[], str]) -> None:
        job.work.progress(len(outcomes) * 100 // max(len(step.databases) + len(step.collections), 1))
        try:
            outcomes[f"{what}:{name}"] = how()
        except BackupSystemError as error:
            outcomes[f"{what}:{name}"] = f"left behind: {error.specific_code}"
            failures.append(error)

    for database in step.databases:
        remove("database", database, partial(job.system.sqlserver.drop_copy, database, run_id))
    for collection in step.collections:
        if collection in begun:
            recovered = begun[collection] in settled
            how = partial(job.system.qdrant.drop_copy, collection, settled=recovered)
            remove("collection", collection, how)
            if outcomes[f"collection:{collection}"] in ("dropped", "absent"):
                # A later attempt has steps of the same names.
                runs.save_part(run_id, f"begun/{begun[collection]}", {})
        else:
            outcomes[f"collection:{collection}"] = "never begun"
    job.work.evidence |= {"removed": outcomes}
    dropped = sum(outcome == "dropped" for outcome in outcomes.values())
    job.work.note = f"{dropped} of {len(outcomes)} copies removed, the others were not there"
    if failures:
        raise failures[0]
