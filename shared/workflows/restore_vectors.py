"""The steps of a restore that work on the vectors, and what they leave as evidence."""

from __future__ import annotations

from shared.blob import documents
from shared.catalogue import paths
from shared.checklist import RestoredCollection, judge_vectors
from shared.errors import IntegrityError, ProofFailedError, RefusedError
from shared.model.backups import QdrantFacts
from shared.model.plans import AliasesStep, CollectionStep, OrphansStep, SafetyStep, Step
from shared.model.runs import State
from shared.octopus.collections import is_scratch
from shared.workflows.left_behind import begun_key
from shared.workflows.orphans import find_orphans
from shared.workflows.restore_job import Job

IN_FLIGHT = 16
"""More steps than are ever under way at once: with more than these undone, none can be the last one."""


def collection(job: Job, step: CollectionStep) -> None:
    """Recover one collection and prove it."""
    facts = _snapshot_set(job)
    total = max(sum(part.blob.size for part in step.parts), 1)
    # Written down before anything is changed: a repetition may find what this attempt left behind.
    runs, key = job.system.catalogue.runs, begun_key(step.id)
    begun_before = bool(runs.find_part(job.ticket.run_id, key))
    runs.save_part(job.ticket.run_id, key, {"attempt": job.ticket.attempt})
    try:
        proof = job.system.qdrant.restore(
            step,
            facts,
            begun_before=begun_before,
            copied=_copied(job, step),
            progress=lambda done: job.work.progress(min(99, done * 100 // total)),
        )
    except (RefusedError, IntegrityError):  # nothing was changed
        if not begun_before:
            runs.save_part(job.ticket.run_id, key, {})
        raise
    job.work.evidence |= proof
    job.work.note = f"{next(iter(proof['points']['counted'].values())):,} points"
    runs.save_part(job.ticket.run_id, _proven_key(step), {"attempt": job.ticket.attempt})
    if _is_last(job, step):
        prove_all(job, facts)


def _copied(job: Job, step: CollectionStep) -> bool:
    """Whether a step before this one has copied what is overwritten into Blob Storage."""
    return any(
        isinstance(other, SafetyStep) and step.target in other.collections
        for other in job.plan.execution.steps
    )


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
    if _is_last(job, step):
        prove_all(job, _snapshot_set(job))


def compare_agents(job: Job, step: OrphansStep) -> None:
    """Compare the agents of a database with the collections that were restored, and with their points."""
    steps = [s for s in job.plan.execution.steps if isinstance(s, CollectionStep)]
    collections = {s.collection: s.target for s in steps if s.target in step.collections}
    if step.target == step.database:  # it is in service, and so is every collection that is there
        live = (name for name in job.system.qdrant.names() if not is_scratch(name))
        collections = {name: name for name in live} | collections
    found = find_orphans(job.system, step.target, collections, job.work.check)
    job.work.evidence |= found.as_json()
    job.work.note = found.note()
    if steps and _is_last(job, step):
        prove_all(job, _snapshot_set(job))


def _is_last(job: Job, step: Step) -> bool:
    """Whether the vectors are whole when this step is done, so that they can be proven all together.

    Steps are done in order, but for collections, several of which are restored at once. Each first writes
    down that it is proven, then looks at the others: whoever writes last sees them all.
    """
    steps = [one for one in job.plan.execution.steps if one.checklist == 3]
    if not isinstance(steps[-1], CollectionStep):
        return step.id == steps[-1].id
    ids = {one.id for one in steps}
    run = job.system.catalogue.runs.get(job.ticket.kind, job.ticket.run_id)
    if sum(one.id in ids and one.state is not State.SUCCEEDED for one in run.steps) > IN_FLIGHT:
        return False
    parts = documents.entries(job.system.storage, paths.STATE, paths.run_parts(run.id))
    there = {entry.name for entry in parts}
    return all(paths.run_part(run.id, _proven_key(one)) in there for one in steps)


def _proven_key(step: Step) -> str:
    return f"proven/{step.id}"


def prove_all(job: Job, facts: QdrantFacts) -> None:
    """Judge the checklist's third step as a whole: every collection, every point count, every alias.

    Raises:
        ProofFailedError: something does not match.
        UnreachableError: a peer does not answer.
    """
    counts = {one.name: one.points for one in facts.collections}
    steps = [s for s in job.plan.execution.steps if isinstance(s, CollectionStep)]
    wanted: dict[str, str] = {}
    for step in job.plan.execution.steps:
        if isinstance(step, AliasesStep):
            wanted |= step.aliases
    found = {
        one.collection: RestoredCollection(
            one.collection, one.missing, one.counts, one.statuses, one.optimizers
        )
        for one in job.system.qdrant.survey([s.target for s in steps])
    }
    expected = {s.target: counts[s.collection] for s in steps}
    judgement = judge_vectors(expected, found, wanted, job.system.qdrant.aliases())
    job.work.evidence["all_collections"] = judgement.as_json()
    if not judgement.passed:
        raise ProofFailedError(
            " ".join(judgement.mismatches),
            "Compare the step's evidence with the snapshot set.",
            code="vectors_differ",
        )
