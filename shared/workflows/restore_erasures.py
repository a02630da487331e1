"""Rows of users who were erased after the restored moment are deleted again, before the API opens."""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import IntegrityError, ProofFailedError
from shared.model.plans import ErasuresStep
from shared.planning.erasing import list_sha256
from shared.workflows.restore_job import Job


def erase(job: Job, step: ErasuresStep) -> None:
    """Delete the rows of the users in the plan's list. The evidence counts rows per table and names nobody.

    Repeating it finds what is left; what an earlier attempt deleted stays counted.

    Raises:
        IntegrityError: the list is not the one that the plan was made with.
        SqlServerError: rows could not be deleted.
        ProofFailedError: rows are left.
    """
    users = job.system.catalogue.plans.erasures(job.plan.id)
    if list_sha256(users) != step.list_sha256 or len(users) != step.users:
        raise IntegrityError(
            f"The list of erased users that is kept with plan {job.plan.id} is not the one that it names.",
            "Find out who changed it. Make a new plan with the list.",
            code="erasure_list_changed",
            meaning="Nothing was deleted; the API must not be opened.",
        )
    runs, key = job.system.catalogue.runs, f"erased/{step.id}"
    counted: dict[str, int] = dict((runs.find_part(job.ticket.run_id, key) or {}).get("tables", {}))

    def on_rows(deleted: Mapping[str, int], done: int) -> None:
        for table, rows in deleted.items():
            counted[table] = counted.get(table, 0) + rows
        runs.save_part(job.ticket.run_id, key, {"tables": counted})
        job.work.progress(done * 99 // max(len(users), 1))

    job.system.sqlserver.erase(step.target, users, on_rows)
    left = job.system.sqlserver.rows_of(step.target, users)
    job.work.evidence |= {"users": len(users), "rows_deleted": counted, "rows_left": left}
    job.work.note = f"{sum(counted.values()):,} rows of {len(users):,} users deleted"
    if left:
        raise ProofFailedError(
            f"{left} rows of erased users are left in {step.target}.",
            "Something writes to the database. Stop it, and resume the restore.",
        )
