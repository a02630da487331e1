"""The activity that commits a recovery point: what pairs both sides, what it lacks, what proves it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.composition import System
from shared.errors import IntegrityError, StoreError
from shared.model.backups import Count, Kind, Manifest, QdrantFacts, Quality
from shared.model.base import Document
from shared.model.findings import Finding, Severity
from shared.model.hints import SqlHint
from shared.model.points import RecoveryPoint, SqlSide, VectorSide
from shared.model.runs import Run
from shared.octopus.collections import agent_of
from shared.planning.chains import Chain, NoChain, ToLogEnd, ToLsn, chain
from shared.planning.consistency import clocks_differ
from shared.reporting.break_glass import SCRIPTS
from shared.stores.sqlserver import Holdings, MarkFacts
from shared.stores.sqlserver.contents import AGENTS
from shared.workflows.backups import BackUpDatabase
from shared.workflows.point_activities import gone_with_its_agent
from shared.workflows.point_marks import Marks, Unmarked, mark_key
from shared.workflows.point_scripts import gathered
from shared.workflows.runs import Ticket, Work, working

DRAFT = "point"
"""Key of the run's part that keeps the point as it is about to be committed."""

WHOLE_SECOND = timedelta(seconds=1)
"""msdb tells the times of backups in whole seconds."""


class Draft(Document):
    """A point with its scripts. A repeated commit must write the very same texts, so they are kept first."""

    point: RecoveryPoint
    scripts: dict[str, str]
    proof: dict[str, dict[str, str | None]]


@dataclass
class _SqlPoints:
    """The SQL side of a point as it is put together; ``agents`` is None where no database has their table."""

    sides: list[SqlSide]
    reasons: list[str]
    findings: list[Finding]
    agents: frozenset[str] | None
    proof: dict[str, dict[str, str | None]]


def commit_point(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: the scripts that lie beside a point, then the document that pairs both sides.

    Raises:
        StoreError: ``recovery_point_incomplete``: it was recorded, with its reasons.
        IntegrityError: ``mark_of_another_set``: the mark belongs to other snapshots.
    """
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        kept = system.catalogue.runs.find_part(ticket.run_id, DRAFT)
        if kept is None:
            draft = _draft(system, ticket, work)
            work.check()
            system.catalogue.runs.save_part(ticket.run_id, DRAFT, draft.as_json())
        else:
            draft = Draft.model_validate(kept)
        point = draft.point
        work.check()
        scripts = system.catalogue.points.add_scripts(point, draft.scripts)
        system.catalogue.points.commit(point)
        work.evidence |= {"complete": point.complete, "reasons": list(point.reasons)[:20]}
        work.evidence |= {"scripts": scripts, "proof": draft.proof}
        if not point.complete:
            raise StoreError(
                f"Recovery point {point.id} is incomplete: {' '.join(point.reasons[:3])}",
                "Mend what the reasons name, and make another one; until then the one before it is chosen.",
                code="recovery_point_incomplete",
                meaning="It is recorded, and chosen only when it is asked for by its id.",
            )
        return {"point_id": point.id, "complete": point.complete}


def _draft(system: System, ticket: Ticket, work: Work) -> Draft:
    vectors = system.catalogue.backups.get(work.evidence["snapshot_set_id"])
    marks = _marks(system, ticket, work.run)
    facts = vectors.facts
    if not isinstance(facts, QdrantFacts) or marks.snapshot_set_id != vectors.id:
        raise IntegrityError(
            f"The mark {marks.mark_name} was set for the snapshot set {marks.snapshot_set_id}, "
            f"not for {vectors.id}.",
            "Make another recovery point; if that repeats, report it.",
            code="mark_of_another_set",
        )
    sql = _sql_points(system, work.run, marks)
    gone = [failure for failure in facts.failures if gone_with_its_agent(failure, sql.agents)]
    sql.reasons += [
        f"{failure.collection} on peer {failure.peer_id}: {failure.error.message}"
        for failure in facts.failures
        if failure not in gone
    ]
    chains = _chains(system, sql.sides)
    sql.reasons += [
        f"No backups lead to the point in {side.database}: {found.reason}"
        for side, found in zip(sql.sides, chains, strict=True)
        if isinstance(found, NoChain)
    ]
    side = _vector_side(vectors, facts, sql.agents)
    latest = max((one.at_by_our_clock for one in sql.sides), default=vectors.finished_at)
    findings = (*sql.findings, *_about_clocks(sql.sides))
    findings += (*_about_gone([failure.collection for failure in gone]), *_about_left(side.without_agent))
    point = RecoveryPoint(
        id=work.evidence["point_id"],
        name=work.run.request.get("name"),
        run_id=ticket.run_id,
        slot=work.run.slot,
        made_at=system.clock.now(),
        complete=not sql.reasons,
        reasons=tuple(sql.reasons),
        vectors=side,
        sql=tuple(sql.sides),
        skew_seconds=(latest - vectors.started_at).total_seconds(),
        pinned=bool(work.run.request.get("pinned")),
        findings=(*vectors.findings, *findings),
    )
    found = [one if isinstance(one, Chain) else None for one in chains]
    glass = gathered(system, point, facts, found)
    scripts = {name: render(glass) for name, render in SCRIPTS.items()}
    return Draft(point=point, scripts=scripts, proof=sql.proof)


def _marks(system: System, ticket: Ticket, run: Run) -> Marks:
    name = run.step("mark").evidence["mark_name"]
    return Marks.model_validate(system.catalogue.runs.part(ticket.run_id, mark_key(name)))


def _vector_side(vectors: Manifest, facts: QdrantFacts, agents: Collection[str] | None) -> VectorSide:
    held = {part.collection for part in facts.parts}
    owned = [(name, agent) for name in sorted(held) if (agent := agent_of(name))]
    return VectorSide(
        snapshot_set_id=vectors.id,
        started_at=vectors.started_at,
        finished_at=vectors.finished_at,
        collections={one.name: one.points for one in facts.collections if one.name in held},
        without_agent=tuple(name for name, agent in owned if agents is not None and agent not in agents),
    )


def _sql_points(system: System, run: Run, marks: Marks) -> _SqlPoints:
    """Every database at the point: its mark in a log backup of ours, or the end of that log backup."""
    agents = {agent for facts in marks.marked for agent in facts.agents}
    after = system.sqlserver.look([one.refusal.database for one in marks.unmarked])
    agents |= {agent for one in (*(u.before for u in marks.unmarked), *after) for agent in one.agents}
    tables = {table for facts in marks.marked for table in facts.tables}
    tables |= {table for one in after for table in one.tables}
    told = any(table.rpartition(".")[2] == AGENTS for table in tables)
    made = _SqlPoints([], [], [], frozenset(agents) if told else None, {})
    for facts in marks.marked:
        log = _log_with(system.catalogue.backups.sql_hints(facts.server, facts.database), facts)
        if log is None:
            why = _failure_of(run, facts.database)
            made.reasons.append(f"No log backup of {facts.database} holds the mark {facts.mark_name}.{why}")
            continue
        made.sides.append(SqlSide(**facts.model_dump(), log_backup_id=log.id))
        made.proof[facts.database] = _proof(log, facts.mark_lsn)
    several = len(marks.marked) + len(marks.unmarked) > 1
    for unmarked, now in zip(marks.unmarked, after, strict=True):
        wanted = BackUpDatabase.model_validate(run.step(f"log:{now.database}").evidence).backup_id
        hints = system.catalogue.backups.sql_hints(now.server, now.database)
        log = next((hint for hint in hints if hint.id == wanted and not hint.is_damaged), None)
        made.findings.append(_without_mark(unmarked, several=several))
        if log is None:
            why = _failure_of(run, now.database)
            made.reasons.append(
                f"{now.database} has neither a mark nor a log backup after the snapshots.{why}"
            )
            continue
        made.sides.append(_at_log_end(unmarked.before, now, log))
        made.proof[now.database] = _proof(log, None)
    return made


def _log_with(hints: list[SqlHint], mark: MarkFacts) -> SqlHint | None:
    """The log backup that holds a mark, by the LSN that msdb's history of marks tells.

    ``last_lsn`` is the LSN of the next record after the backup. One that ended before the mark was set has
    such records from another recovery fork.
    """
    logs = [
        hint
        for hint in hints
        if hint.kind is Kind.LOG
        and hint.first_lsn <= mark.mark_lsn < hint.last_lsn
        and hint.finished_at + WHOLE_SECOND >= mark.at
        and not hint.is_damaged
    ]
    return max(logs, key=lambda hint: hint.id, default=None)


def _proof(log: SqlHint, mark_lsn: int | None) -> dict[str, str | None]:
    return {
        "mark_lsn": str(mark_lsn) if mark_lsn is not None else None,
        "log_backup_id": log.id,
        "log_first_lsn": str(log.first_lsn),
        "log_last_lsn": str(log.last_lsn),
    }


def _failure_of(run: Run, database: str) -> str:
    error = run.step(f"log:{database}").error
    return f" {error.message}" if error else ""


def _at_log_end(before: Holdings, after: Holdings, log: SqlHint) -> SqlSide:
    """A database at the end of a log backup, which lies between two looks at it."""
    return SqlSide(
        server=after.server,
        database=after.database,
        mark_name=None,
        mark_lsn=None,
        at=log.finished_at + WHOLE_SECOND,
        log_backup_id=log.id,
        tables=_between(before.tables, after.tables),
        agents=tuple(sorted({*before.agents, *after.agents})),
        migration=after.migration if after.migration == before.migration else None,
        clock_offset_seconds=after.clock_offset_seconds,
        clock_uncertainty_seconds=after.clock_uncertainty_seconds,
    )


def _between(before: Mapping[str, Count], after: Mapping[str, Count]) -> dict[str, Count]:
    """Counts with their interval, of the tables that were there both times."""
    return {
        table: Count(
            value=count.value,
            quality=Quality.APPROXIMATE,
            low=min(before[table].value, count.value),
            high=max(before[table].value, count.value),
        )
        for table, count in after.items()
        if table in before
    }


def _chains(system: System, sides: list[SqlSide]) -> list[Chain | NoChain]:
    """For each database the backups that lead to the point."""
    damaged = system.catalogue.backups.damaged()
    known = system.catalogue.backups.all_sql_hints() if sides else []
    found = []
    for side in sides:
        hints = [hint for hint in known if hint.database == side.database and hint.id not in damaged]
        marked = side.mark_lsn is not None
        lsn = ToLsn(side.mark_lsn or 0, side.mark_name, side.log_backup_id)
        found.append(chain(hints, lsn if marked else ToLogEnd(side.log_backup_id)))
    return found


def _without_mark(unmarked: Unmarked, *, several: bool) -> Finding:
    refusal = unmarked.refusal
    apart = ", it is not at one instant with the other databases" if several else ""
    return Finding(
        code="point_without_mark",
        severity=Severity.WARNING,
        message=f"{refusal.database} could not be marked, so its point is the end of the log backup that was "
        f"taken after the snapshots: no marker row proves a restore to it, its row counts are only "
        f"approximate{apart}. {refusal.message}",
        hint=refusal.hint,
    )


def _about_clocks(sides: list[SqlSide]) -> Iterator[Finding]:
    for told in sorted({told for side in sides if (told := clocks_differ(side))}):
        yield Finding(
            code="clocks_differ",
            severity=Severity.WARNING,
            message=told,
            hint="Let both take the time from one source (NTP). Until then times given as a restore's target "
            "are SQL Server's, and older vectors are paired with them.",
        )


def _about_gone(collections: list[str]) -> Iterator[Finding]:
    if collections:
        yield Finding(
            code="collections_gone",
            severity=Severity.INFO,
            message=f"{len(collections)} collection(s) were deleted before their snapshot could be taken, "
            f"and SQL Server does not know their agents at the point either: {_some(collections)}.",
            hint="If the agents were deleted on purpose, nothing is missing.",
        )


def _about_left(collections: tuple[str, ...]) -> Iterator[Finding]:
    if collections:
        yield Finding(
            code="collections_without_agent",
            severity=Severity.INFO,
            message=f"{len(collections)} collection(s) belong to agents that were deleted between the "
            f"snapshot and the point: {_some(collections)}.",
            hint="A restore leaves them out unless it names them.",
        )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(sorted(set(names))[:10])
    return shown if len(set(names)) <= 10 else f"{shown} …"
