"""What each kind of step of a restore does, and what it leaves as evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.catalogue import paths
from shared.checklist import (
    Conversation,
    Judgement,
    Marker,
    judge_conversation,
    judge_migrations,
    judge_sql,
)
from shared.composition import System
from shared.errors import IntegrityError, InvalidSettingsError, ProofFailedError, RefusedError
from shared.model.backups import Kind, QdrantFacts, Store
from shared.model.plans import (
    AftermathStep,
    AliasesStep,
    CollectionStep,
    ConversationStep,
    MigrationsStep,
    OrphansStep,
    Plan,
    Policy,
    SqlProofStep,
    SqlRecoverStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
)
from shared.model.points import RecoveryPoint, SqlSide
from shared.octopus.api import OctopusApi
from shared.octopus.collections import agent_of
from shared.octopus.orphans import orphans
from shared.workflows.backups import (
    BackUpDatabase,
    adopt_unrecorded,
    back_up,
    commit_backup,
    request_for,
)
from shared.workflows.runs import Ticket, Work

EPISODES = "dbo.Octopus_Episodes"
MOST_ASKED = 200
"""Characters of a known document that a question is made of."""


@dataclass(frozen=True)
class Job:
    """A step under way: the run, the plan that it belongs to, and where its evidence goes."""

    system: System
    ticket: Ticket
    plan: Plan
    work: Work

    @cached_property
    def point(self) -> RecoveryPoint | None:
        """The recovery point that the plan aims at, or takes its vectors from."""
        point_id = self.plan.execution.target.recovery_point_id
        return self.system.catalogue.points.get(point_id) if point_id else None

    @property
    def at_the_point(self) -> bool:
        """Whether SQL Server stops at the point's mark, so that counts may be demanded equal."""
        return self.plan.execution.policy is Policy.PAIRED

    def side(self, database: str) -> SqlSide | None:
        """The database at the recovery point."""
        sides = self.point.sql if self.point else ()
        return next((side for side in sides if side.database == database), None)

    @property
    def octopus(self) -> OctopusApi:
        """The product's API.

        Raises:
            InvalidSettingsError: OCTOPUS_API_URL was removed since the plan was made.
        """
        if self.system.octopus is None:
            raise InvalidSettingsError("OCTOPUS_API_URL is no longer set.", "Set it, and resume.")
        return self.system.octopus

    def judge(self, judgement: Judgement) -> None:
        """Keep a judgement with the step.

        Raises:
            ProofFailedError: something does not match.
        """
        self.work.evidence |= judgement.as_json()
        if not judgement.passed:
            raise ProofFailedError(
                " ".join(judgement.mismatches), "Compare the step's evidence with the recovery point."
            )


def perform(job: Job, step: Step) -> None:
    """Do one step.

    Raises:
        BackupSystemError: it failed; says what that means and what to do.
    """
    locks = job.system.catalogue.locks
    with ExitStack() as stack:
        held = [stack.enter_context(locks.hold(name, job.ticket.run_id)) for name in _locks(job, step)]
        run_is_ours = job.work.check

        def check() -> None:
            run_is_ours()
            for lock in held:
                lock.check()

        job.work.check = check  # asked with every sign of progress, so that a lost lock ends the statement
        _PERFORM[type(step)](job, step)


def _locks(job: Job, step: Step) -> list[str]:
    """A backup of the database that is under way ends first."""
    if isinstance(step, SqlTailStep | SqlRestoreStep | SqlRecoverStep):
        target = step.database if isinstance(step, SqlTailStep) else step.target
        scope = paths.sql_scope(job.system.sqlserver.server().name, target)
        return [f"{scope}/data", f"{scope}/log"]
    return []


def _tail(job: Job, step: SqlTailStep) -> None:
    # An earlier attempt may have taken it, and not lived to write that down. It cannot be taken twice.
    adopt_unrecorded(job.system, job.ticket.run_id, step.database)
    scope = paths.sql_scope(job.system.sqlserver.server().name, step.database)
    about = BackUpDatabase(database=step.database, backup_kind=Kind.LOG, backup_id=step.backup_id)
    request = request_for(scope, about, f"a{job.ticket.attempt}")
    if job.system.catalogue.backups.find(Store.SQLSERVER, scope, Kind.LOG, step.backup_id) is None:
        made = job.system.sqlserver.take_tail(request, job.work.progress)
        commit_backup(job.system, job.ticket.run_id, request, made)
    job.work.evidence |= {"backup_id": step.backup_id}


def _backup_of(job: Job, database: str, kind: Kind) -> BackUpDatabase:
    """The backup that this step takes: the same one when the step is repeated."""
    runs, key = job.system.catalogue.runs, f"backup/{job.work.step.id}"
    kept = runs.find_part(job.ticket.run_id, key)
    if kept is None:
        about = BackUpDatabase(database=database, backup_kind=kind, backup_id=job.system.new_id())
        runs.save_part(job.ticket.run_id, key, about.as_json())
    else:
        about = BackUpDatabase.model_validate(kept)
    job.work.evidence |= about.as_json()
    return about


def _restore(job: Job, step: SqlRestoreStep) -> None:
    job.work.evidence |= job.system.sqlserver.restore(
        step,
        run_id=job.ticket.run_id,
        in_place=job.plan.execution.in_place,
        progress=job.work.progress,
    )


def _recover(job: Job, step: SqlRecoverStep) -> None:
    job.work.evidence |= job.system.sqlserver.recover(step.target)


def _prove_sql(job: Job, step: SqlProofStep) -> None:
    counts = job.system.sqlserver.counts(step.target)
    rows = sum(count.value for count in counts.values())
    job.work.note = f"{rows:,} rows in {len(counts)} tables"
    expected = job.side(step.database)
    if job.point is None or expected is None:
        job.work.evidence |= {"tables": {table: count.value for table, count in counts.items()}}
        job.work.note += "; no recovery point to compare them with"
        return
    row = job.system.sqlserver.marker(step.target)
    marker = Marker(row.mark_name, row.point_id) if row else None
    job.judge(judge_sql(expected, job.point.id, marker, counts, at_the_point=job.at_the_point))


def _migrations(job: Job, step: MigrationsStep) -> None:
    found = job.system.sqlserver.migrations(step.target)
    job.work.note = f"head {found.head}, {len(found.tables)} tables"
    side = job.side(step.database)
    head = side.migration if side and job.at_the_point else None
    job.judge(judge_migrations(head, side.tables if side else (), found.head, found.tables))


def _collection(job: Job, step: CollectionStep) -> None:
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


def _aliases(job: Job, step: AliasesStep) -> None:
    job.work.evidence |= job.system.qdrant.restore_aliases(step.aliases)


def _orphans(job: Job, step: OrphansStep) -> None:
    steps = [s for s in job.plan.execution.steps if isinstance(s, CollectionStep)]
    collections = {s.collection for s in steps if s.target in step.collections}
    if step.target == step.database:  # it is in service, and so is every collection that is there
        collections |= set(job.system.qdrant.inspect().names)
    found = orphans(job.system.sqlserver.agents(step.target), sorted(collections))
    job.work.evidence |= {
        "collections_without_agent": list(found.collections_without_agent),
        "agents_without_collection": list(found.agents_without_collection),
        "shared": list(found.shared),
    }
    strays = len(found.collections_without_agent)
    job.work.note = f"{strays} collection(s) without an agent" if strays else "every vector's agent is known"


@dataclass(frozen=True)
class _Known:
    agent: str
    content: str


def _known_documents(job: Job, step: ConversationStep) -> Iterator[_Known]:
    """Documents that were restored, with the agents that they belong to."""
    for collection, restored in step.collections.items():
        agent = agent_of(collection)
        payload = job.system.qdrant.sample(restored) if agent else None
        if agent and payload and isinstance(payload.get("content"), str):
            yield _Known(agent, payload["content"])


def _converse(job: Job, step: ConversationStep) -> None:
    known = next(_known_documents(job, step), None)
    agent = known.agent if known else next(iter(job.system.sqlserver.agents(step.target)), None)
    if agent is None:
        job.work.note = "no agent was restored, so there is nobody to talk to"
        return
    question = known.content[:MOST_ASKED] if known else "Hello"
    said = job.octopus.converse(agent, question)
    episodes = job.system.sqlserver.counts(step.target).get(EPISODES)
    recalled = bool(job.octopus.search_episodes(agent, question)) if episodes and episodes.value else None
    hits = job.octopus.search_knowledge(agent, question) if known else []
    found = any(hit.get("content") == known.content for hit in hits) if known else None
    job.work.note = f"{said.tokens} tokens in {said.seconds:.1f} s"
    ended = "turn_end" in said.events
    job.judge(judge_conversation(Conversation(said.status, said.tokens, ended, recalled, found)))


def _aftermath(job: Job, step: AftermathStep) -> None:
    manifest = back_up(job.system, job.ticket, _backup_of(job, step.database, Kind.FULL), job.work)
    job.work.evidence |= {"size": manifest.size}


_PERFORM: dict[type, Callable[[Job, Any], None]] = {
    SqlTailStep: _tail,
    SqlRestoreStep: _restore,
    SqlRecoverStep: _recover,
    SqlProofStep: _prove_sql,
    MigrationsStep: _migrations,
    CollectionStep: _collection,
    AliasesStep: _aliases,
    OrphansStep: _orphans,
    ConversationStep: _converse,
    AftermathStep: _aftermath,
}
