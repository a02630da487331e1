"""The checklist's second step: migrations executed by a script or a command, or only looked at."""

from __future__ import annotations

from shared.blob import download
from shared.checklist import judge_migrations
from shared.errors import IntegrityError, InvalidRequestError
from shared.model.backups import BlobRef
from shared.model.plans import Migrations, MigrationsStep
from shared.octopus.migrations import LARGEST_SCRIPT, Script, read_script
from shared.workflows.migration_command import run_command
from shared.workflows.restore_job import Job


def migrations(job: Job, step: MigrationsStep) -> None:
    """Bring the schema to where it should be, as the plan says how, then look whether it is there.

    Repeating it is safe: the script is idempotent and is begun anew, a command of EF Core applies only what
    is missing.

    Raises:
        InvalidRequestError: the script cannot be used; nothing of it was executed.
        IntegrityError: the script is not the one that the plan was made with.
        SqlServerError: a batch of the script failed; says which, and what was done before it.
        RefusedError: a command is to be run, and this is not the command line.
        ProofFailedError: the command failed, or the head or a table is not as it should be.
    """
    side = job.side(step.database)
    head, reference = (side.migration if side else None), "the recovery point"
    at_least = step.how is not Migrations.CHECK or not job.at_the_point
    if step.how is Migrations.SCRIPT:
        script = _run_script(job, step)
        if script.head is not None and (head is None or script.head > head):
            head, reference = script.head, "the script"
    elif step.how is Migrations.COMMAND:
        job.work.evidence |= run_command(job.system, step.target, job.work.progress)
    found = job.system.sqlserver.migrations(step.target)
    job.work.note = f"head {found.head}, {len(found.tables)} tables"
    tables = side.tables if side else ()
    job.judge(
        judge_migrations(head, tables, found.head, found.tables, at_least=at_least, reference=reference)
    )


def _run_script(job: Job, step: MigrationsStep) -> Script:
    ref, sha256 = step.script, step.script_sha256 or (step.script.sha256 if step.script else None)
    if ref is None or sha256 is None:
        raise InvalidRequestError(
            f"The step {step.id} is to execute a migration script, and names none.", "Make a new plan."
        )
    before = job.system.sqlserver.migrations(step.target).head
    script = read_script(_bytes_of(job, ref, sha256))
    job.work.evidence |= {
        "script": f"{ref.container}/{ref.name}",
        "script_sha256": sha256,
        "head_before": before,
        "head_of_script": script.head,
    }
    done = job.system.sqlserver.run_script(step.target, script.batches, job.work.progress)
    job.work.evidence |= {"batches": done.batches}
    return script


def _bytes_of(job: Job, ref: BlobRef, sha256: str) -> bytes:
    """The script as the plan names it: nothing of another one is executed."""
    if ref.size > LARGEST_SCRIPT:
        raise InvalidRequestError(
            f"The migration script measures {ref.size:,} bytes; at most {LARGEST_SCRIPT:,} are read.",
            "Make it from the migrations that are missing only: `dotnet ef migrations script FROM TO`.",
            code="migration_script",
        )
    try:
        checked = ref.model_copy(update={"sha256": sha256})
        return b"".join(download.read(job.system.storage, checked))
    except IntegrityError as error:
        raise IntegrityError(
            f"The migration script is not the one that the plan was made with: {error.message}",
            "Make a new plan with the script that is meant.",
            code="migration_script_changed",
            meaning="Nothing of it was executed.",
        ) from None
