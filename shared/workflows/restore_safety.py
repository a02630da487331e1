"""What is read and kept of live collections before a restore overwrites them."""

from __future__ import annotations

from typing import Any

from shared.errors import BackupSystemError, NotPermittedError, QdrantError, RefusedError
from shared.model.backups import SnapshotPart
from shared.model.plans import CollectionStep, GapStep, SafetyStep
from shared.octopus.collections import agent_of
from shared.octopus.documents import DocumentTally
from shared.planning.words import sized
from shared.workflows.copies import copies_id, copy_collections, find_copy, json_lines, keep_listing, told
from shared.workflows.left_behind import begun_key
from shared.workflows.restore_job import Job

FIRST_DOCUMENTS = 20
"""Documents that the evidence itself shows; the listing has them all."""
SHOWN = 50
"""Collections or copies that the evidence itself shows; counts are of all."""

_GONE = 404


def overwriting_begun(job: Job, collection: str) -> bool:
    """Whether a step of this restore has begun to overwrite a collection, in whichever attempt."""
    steps = [s for s in job.plan.execution.steps if isinstance(s, CollectionStep) and s.target == collection]
    runs = job.system.catalogue.runs
    return any(runs.find_part(job.ticket.run_id, begun_key(step.id)) for step in steps)


def gap(job: Job, step: GapStep) -> None:
    """List the documents that were indexed after the snapshots, as long as they can still be read.

    It is information for a person: a collection that cannot be listed is told, with the window and its agent,
    and does not stop the restore.

    Raises:
        UnreachableError: Qdrant or the storage does not answer.
    """
    read_at = job.system.clock.now()
    not_listed: list[dict[str, Any]] = []
    without_time: dict[str, int] = {}
    with DocumentTally() as tally:
        for number, name in enumerate(step.collections):
            job.work.progress(number * 100 // len(step.collections))
            why = _tallied(job, step, name, tally, without_time)
            if why:
                tally.forget(name)
                not_listed.append({"collection": name, "agent": agent_of(name), "why": why})
        totals = tally.totals()
        documents = sum(number for number, _ in totals.values())
        listing = None
        if documents:
            listing = keep_listing(job.system, job.ticket.run_id, step.id, tally.lines()).as_json()
        first = tally.first(FIRST_DOCUMENTS)
    job.work.evidence |= {
        "documents_indexed_in_the_gap": documents,
        "chunks": sum(chunks for _, chunks in totals.values()),
        "window": [_iso(step.since), _iso(read_at)],
        "collections": {
            name: {"documents": number, "chunks": chunks}
            for name, (number, chunks) in list(totals.items())[:SHOWN]
        },
        "first_documents": first,
        "listing": listing,
        "points_without_time": dict(list(without_time.items())[:SHOWN]),
        "not_listed": not_listed[:SHOWN],
        "collections_not_listed": len(not_listed),
    }
    job.work.note = _gap_note(step, documents, len(not_listed), sum(without_time.values()))


def _tallied(job: Job, step: GapStep, name: str, tally: DocumentTally, without_time: dict[str, int]) -> str:
    """Count a collection's documents; gives why that was not possible, or nothing."""
    qdrant = job.system.qdrant
    if overwriting_begun(job, name):
        return "It has been overwritten in part or in whole by an earlier attempt."
    try:
        for payloads in qdrant.indexed_after(name, step.since):
            job.work.check()
            tally.add(name, payloads)
        undated = qdrant.undated(name)
    except QdrantError as error:
        return "It is not there any more." if error.status == _GONE else error.message
    except RefusedError as error:
        return error.message
    if undated:
        without_time[name] = undated
    return ""


def _gap_note(step: GapStep, documents: int, not_listed: int, undated: int) -> str:
    said = [f"{documents:,} document(s) were indexed after {_iso(step.since)}"]
    if not_listed:
        said.append(f"{not_listed} of {len(step.collections)} collection(s) could not be listed")
    if undated:
        said.append(f"{undated:,} point(s) do not say when they were indexed")
    return "; ".join(said)


def safety(job: Job, step: SafetyStep) -> None:
    """Copy what is about to be overwritten into Blob Storage, on every peer that holds some of it.

    Raises:
        RefusedError, QdrantError: a collection cannot be copied; nothing was overwritten.
        LockedError: a recovery point takes a snapshot of one of them just now.
    """
    copies = copies_id(job.system, job.ticket.run_id, step.id)
    wanted, skipped = _wanted(job, step, copies)
    try:
        parts = copy_collections(job.system, job.ticket, copies, wanted, job.work.check, job.work.progress)
    except (RefusedError, QdrantError) as error:
        raise _impossible(error) from error
    kept = told(job.system, parts)
    listing = keep_listing(job.system, job.ticket.run_id, step.id, json_lines(kept)) if kept else None
    job.work.evidence |= {
        "copies": len(parts),
        "size": sum(part.blob.size for part in parts),
        "kept": kept[:SHOWN],
        "listing": listing.as_json() if listing else None,
        "not_copied": skipped,
    }
    job.work.note = _safety_note(parts, skipped)


def _wanted(job: Job, step: SafetyStep, copies: str) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Peer and collection of each copy, and why there is none of the other collections."""
    wanted: list[tuple[int, str]] = []
    skipped: dict[str, str] = {}
    for name in step.collections:
        job.work.check()
        try:
            peers = job.system.qdrant.holders(name)
        except QdrantError as error:
            if error.status != _GONE:
                raise _impossible(error) from error
            skipped[name] = "It is not there any more."
            continue
        if overwriting_begun(job, name):
            # What is there now is no longer what was: only what was copied in time is worth keeping.
            peers = [peer for peer in peers if find_copy(job.system, job.ticket, copies, peer, name)]
            if not peers:
                skipped[name] = "Its overwriting has begun: what was there is gone."
        wanted += [(peer, name) for peer in peers]
    return wanted, skipped


def _safety_note(parts: list[SnapshotPart], skipped: dict[str, str]) -> str:
    size = sized(sum(part.blob.size for part in parts))
    note = f"{len(parts)} copy(ies), {size}, each with the command that brings it back"
    return note + (f"; {len(skipped)} collection(s) were not copied" if skipped else "")


def _impossible(error: BackupSystemError) -> BackupSystemError:
    """Why no copy could be made, with the way out for who wants to go on all the same."""
    if error.retryable or isinstance(error, NotPermittedError):
        return error
    return RefusedError(
        f"What is there cannot be copied before it is overwritten: {error.message}",
        "Mend it, or delete the collection by hand if nothing in it is wanted, and resume; or plan a restore "
        "under another name.",
        code="no_safety_copy",
        meaning="Nothing was overwritten.",
    )


def _iso(time: Any) -> str:
    return str(time.isoformat().replace("+00:00", "Z"))
