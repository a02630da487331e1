"""The steps of a restore that work on the vectors, and what they leave as evidence."""

from __future__ import annotations

from shared.errors import IntegrityError, RefusedError
from shared.model.backups import QdrantFacts
from shared.model.plans import AliasesStep, CollectionStep
from shared.workflows.restore_job import Job


def collection(job: Job, step: CollectionStep) -> None:
    """Recover one collection and prove it."""
    facts = _snapshot_set(job)
    total = max(sum(part.blob.size for part in step.parts), 1)
    # Written down before anything is changed: a repetition may find what this attempt left behind.
    runs, key = job.system.catalogue.runs, f"begun/{step.id}"
    begun_before = bool(runs.find_part(job.ticket.run_id, key))
    runs.save_part(job.ticket.run_id, key, {"attempt": job.ticket.attempt})
    try:
        proof = job.system.qdrant.restore(
            step,
            facts,
            begun_before=begun_before,
            progress=lambda done: job.work.progress(min(99, done * 100 // total)),
        )
    except (RefusedError, IntegrityError):  # nothing was changed
        if not begun_before:
            runs.save_part(job.ticket.run_id, key, {})
        raise
    job.work.evidence |= proof
    job.work.note = f"{next(iter(proof['points']['counted'].values())):,} points"


def _snapshot_set(job: Job) -> QdrantFacts:
    """The set that the plan's snapshots belong to.

    Raises:
        IntegrityError: the catalogue holds something else under its id.
    """
    set_id = job.plan.execution.target.snapshot_set_id
    facts = job.system.catalogue.backups.get(set_id or "").facts
    if not isinstance(facts, QdrantFacts):
        raise IntegrityError(f"Backup {set_id} is not a snapshot set.", "Make a new plan.")
    return facts


def aliases(job: Job, step: AliasesStep) -> None:
    """Point the aliases to their collections."""
    job.work.evidence |= job.system.qdrant.restore_aliases(step.aliases)
