"""Recovery points: every Qdrant snapshot, then the mark in SQL Server's log, then the pair is committed.

The order is the consistency rule: every vector-side point ends before the SQL point it is paired with, so no
restored vector can refer to an agent that SQL Server does not know. A resumed run keeps it: the mark is set
only when the set is committed, and nothing is added to a committed set.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from shared.composition import System
from shared.model.backups import Kind
from shared.model.runs import StepState
from shared.planning.due import MOST_ATTEMPTS
from shared.workflows.backups import BackUpDatabase
from shared.workflows.context import ActivityFailedError, Context, Task, windowed
from shared.workflows.retrying import persistently
from shared.workflows.runs import Ticket

WINDOW = 8
WINDOW_PER_PEER = 4
"""Snapshots under way in all and per peer: enough to keep the network busy, few enough to leave Qdrant's disk
and the shared queue of work to others (a log backup must not wait behind a thousand collections)."""

SECOND_PASS_SECONDS = 5.0


def point_steps(system: System, databases: tuple[str, ...]) -> tuple[StepState, ...]:
    """The steps of a recovery point's run."""
    ids = {"point_id": system.new_id(), "snapshot_set_id": system.new_id()}
    logs = tuple(
        StepState(
            id=f"log:{database}",
            title=f"Back up the log of {database}, which holds the mark",
            evidence=BackUpDatabase(
                database=database, backup_kind=Kind.LOG, backup_id=system.new_id()
            ).as_json(),
        )
        for database in databases
    )
    return (
        StepState(id="snapshots", title="Snapshot every collection of every Qdrant peer", evidence=ids),
        StepState(id="snapshot-set", title="Commit the snapshot set", evidence=ids),
        StepState(id="mark", title="Mark the point in SQL Server's log", evidence=ids),
        *logs,
        StepState(id="point", title="Commit the recovery point", evidence=ids),
        StepState(
            id="verify", title="Verify the snapshot set", evidence={"backup_id": ids["snapshot_set_id"]}
        ),
    )


def make_recovery_point(ctx: Context, payload: dict[str, Any]) -> Generator[Task, Any, Any]:
    """The workflow of a recovery point."""
    begun = yield ctx.activity("begin_run", payload)
    if not begun["go"]:
        return begun
    ticket = Ticket.of(payload).as_payload()
    todo = set(begun["steps"])
    try:
        if "snapshots" in todo:
            yield from _snapshots(ctx, ticket)
        for step in ("snapshot-set", "mark"):
            if step in todo:
                yield from persistently(ctx, _ACTIVITY_OF[step], {**ticket, "step": step})
        yield from _logs(ctx, payload, [step for step in begun["steps"] if step.startswith("log:")])
        if "point" in todo:
            yield from persistently(ctx, "commit_point", {**ticket, "step": "point"})
        if "verify" in todo:
            yield from persistently(ctx, "verify_backup", {**ticket, "step": "verify"})
    except ActivityFailedError as failure:
        return (yield ctx.activity("end_run", {**ticket, "error": failure.as_dict()}))
    return (yield ctx.activity("end_run", ticket))


_ACTIVITY_OF = {"snapshot-set": "commit_snapshot_set", "mark": "set_mark"}


def _logs(ctx: Context, payload: dict[str, Any], steps: list[str]) -> Generator[Task, Any]:
    """The log backups, one after the other; one that fails does not stop the others.

    Where nobody will try again, the point is committed all the same: incomplete, with the reason.
    """
    ticket = Ticket.of(payload)
    failed: ActivityFailedError | None = None
    for step in steps:
        try:
            yield from persistently(ctx, "back_up_database", {**ticket.as_payload(), "step": step})
        except ActivityFailedError as failure:
            failed = failed or failure
    if failed and "slot" in payload and ticket.attempt < MOST_ATTEMPTS:
        raise failed


def _snapshots(ctx: Context, ticket: dict[str, Any]) -> Generator[Task, Any]:
    """All parts, a bounded number at once; those whose failure may pass get a second chance."""
    listed = yield from persistently(ctx, "list_snapshots", {**ticket, "step": "snapshots"})
    todo = [
        {**ticket, "index": index, "peer": peer}
        for peer, (first, beyond) in enumerate(listed["peers"])
        for index in range(first, beyond)
    ]
    for last in (False, True):
        results = yield from windowed(
            ctx, "take_snapshot", todo, WINDOW, key=lambda p: p["peer"], per_key=WINDOW_PER_PEER
        )
        failed = zip(todo, results, strict=True)
        todo = [p for p, r in failed if isinstance(r, ActivityFailedError) and r.retryable]
        if not todo or last:
            break
        yield ctx.timer(SECOND_PASS_SECONDS)
    yield from persistently(ctx, "end_snapshots", {**ticket, "step": "snapshots"})
