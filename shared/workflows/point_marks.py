"""The activity that sets a recovery point's mark, once its snapshots are committed."""

from __future__ import annotations

from typing import Any

from shared.catalogue import paths
from shared.composition import System
from shared.errors import StoreError
from shared.model.backups import Kind, Store
from shared.model.base import Document
from shared.stores.sqlserver import Holdings, MarkFacts, Refusal
from shared.workflows.point_activities import WORKLIST, Worklist, refuse_while_stores_restored
from shared.workflows.runs import Ticket, working

DESCRIPTION = "octopus-backup recovery point"
"""The mark's description where no person named the point."""


class Unmarked(Document):
    """A database that could not be marked: why, and what it held before its log backup."""

    refusal: Refusal
    before: Holdings


class Marks(Document):
    """What the point is in every database. Set when the snapshot set was committed, so later than the set."""

    snapshot_set_id: str
    mark_name: str
    marked: tuple[MarkFacts, ...]
    unmarked: tuple[Unmarked, ...]


def set_mark(system: System, payload: dict[str, Any]) -> dict[str, Any]:
    """Activity: one marked transaction over all databases. A repetition makes a new mark, with a new name.

    A database that cannot be marked, because a DBA has refused it, is looked at instead: its point will be
    the end of the log backup that follows.

    Raises:
        StoreError: ``set_not_committed``: the mark would not be surely later than the snapshots.
        BackupSystemError: nothing was marked.
    """
    ticket = Ticket.of(payload)
    with working(system, ticket, payload["step"]) as work:
        worklist = Worklist.model_validate(system.catalogue.runs.part(ticket.run_id, WORKLIST))
        refuse_while_stores_restored(system, ticket, worklist.state)
        set_id, name = work.evidence["snapshot_set_id"], f"rp_{system.new_id()}"
        if not system.catalogue.backups.find(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, set_id):
            raise StoreError(
                f"The snapshot set {set_id} is not committed, so no mark can be surely later than it.",
                "Make another recovery point; if that repeats, report it.",
                code="set_not_committed",
            )
        marking = system.sqlserver.mark_where_allowed(
            system.settings.sqlserver.databases,
            mark_name=name,
            point_id=work.evidence["point_id"],
            description=work.run.request.get("name") or DESCRIPTION,
            vector_side=set_id,
        )
        seen = system.sqlserver.look([refusal.database for refusal in marking.refused])
        unmarked = tuple(
            Unmarked(refusal=refusal, before=before)
            for refusal, before in zip(marking.refused, seen, strict=True)
        )
        marks = Marks(snapshot_set_id=set_id, mark_name=name, marked=marking.marked, unmarked=unmarked)
        work.check()
        # Under the mark's own name: an attempt that wakes up late cannot put its mark in this one's place.
        system.catalogue.runs.save_part(ticket.run_id, mark_key(name), marks.as_json())
        work.evidence |= {"mark_name": name, "unmarked": [one.refusal.database for one in unmarked]}
        if unmarked:
            work.note = f"not marked: {', '.join(work.evidence['unmarked'])}"
        return {"mark_name": name}


def mark_key(mark_name: str) -> str:
    """The key of the run's part that keeps what became of a mark."""
    return f"mark/{mark_name}"
