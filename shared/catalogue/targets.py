"""Targets: which run restores to which databases and collections.

One document names them all, so that a run gets every target that it needs or none. It is changed only by
If-Match. A run holds its targets for its whole life, in whichever process its steps are done; it loses them
only when it has ended, or is dead and another run wants one of them. That run then ends it for good: should
the dead one only have slept, it can no longer write.

What a run held that did not come to its end is remembered until another run gets one of its targets, or for a
month: as long as it is remembered, nobody else has changed them, and the run may go on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read
from shared.catalogue.runs import Runs
from shared.clock import Clock
from shared.errors import AlreadyExistsError, ConflictError, LockedError, NotFoundError
from shared.model.base import Document, UtcTime
from shared.model.findings import ErrorInfo
from shared.model.runs import DEAD_AFTER, Run, State

_TRIES = 20
_NAMED = 3  # targets in a message
_REMEMBERED = timedelta(days=30)


class Holding(Document):
    """The targets of one run."""

    run_id: str
    attempt: int
    fencing: int = Field(description="higher than that of every earlier holder of any target")
    targets: tuple[str, ...] = Field(description="database:{name} and collection:{name}")
    since: UtcTime
    released: bool = Field(False, description="its run has ended, but has not come to its end")


class Holdings(Document):
    """All that is held."""

    schema_: Literal[1] = Field(1, alias="schema")
    fencing: int = Field(0, description="the highest number that was ever given")
    held: tuple[Holding, ...] = ()


class Targets:
    """The targets of all runs."""

    def __init__(self, storage: Storage, clock: Clock, runs: Runs) -> None:
        self._storage = storage
        self._clock = clock
        self._runs = runs

    def hold(self, run_id: str, attempt: int, targets: Iterable[str]) -> int:
        """Take targets for a run, all or none; the same attempt may ask again.

        Args:
            run_id: the run.
            attempt: the attempt at it; a later one gets a new number.
            targets: ``database:{name}`` and ``collection:{name}``; case does not tell two of them apart.

        Returns:
            The fencing number.

        Raises:
            LockedError: another run that lives holds one of them; names it.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        wanted = tuple(sorted(set(targets)))
        for _ in range(_TRIES):
            there, etag = self._read()
            mine = next((one for one in there.held if one.run_id == run_id), None)
            if mine and (mine.attempt, mine.targets, mine.released) == (attempt, wanted, False):
                return mine.fencing
            others = tuple(one for one in there.held if one.run_id != run_id)
            in_the_way = [one for one in others if _common(one, wanted)]
            for one in in_the_way:
                self._demand_gone(one, wanted, run_id)
            fencing = there.fencing + 1
            new = Holding(
                run_id=run_id, attempt=attempt, fencing=fencing, targets=wanted, since=self._clock.now()
            )
            longest = self._clock.now() - _REMEMBERED
            kept = tuple(
                one for one in others if one not in in_the_way and not (one.released and one.since < longest)
            )
            if self._write(Holdings(fencing=fencing, held=(*kept, new)), etag):
                return fencing
        raise LockedError("Too many restores begin and end at once.", "Try again.")

    def let_go(self, run_id: str, *, remember: bool = False) -> None:
        """Let go of what a run holds, if anything.

        Args:
            run_id: the run.
            remember: whether the run may want to go on where it was.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        for _ in range(_TRIES):
            there, etag = self._read()
            released = tuple(one.model_copy(update={"released": True}) for one in there.held)
            kept = tuple(
                new if old.run_id == run_id else old
                for old, new in zip(there.held, released, strict=True)
                if remember or old.run_id != run_id
            )
            if kept == there.held or self._write(there.model_copy(update={"held": kept}), etag):
                return
        raise ConflictError(f"The targets of run {run_id} could not be let go: others changed them at once.")

    def holds(self, run_id: str) -> bool:
        """Whether a run still holds its targets."""
        return any(one.run_id == run_id and not one.released for one in self._read()[0].held)

    def untouched_since(self, run_id: str) -> bool:
        """Whether no other run has had a target of this run since this run had it."""
        return any(one.run_id == run_id for one in self._read()[0].held)

    def holder(self, targets: Iterable[str], *, besides: str = "") -> tuple[Run | None, Holding] | None:
        """A run that lives and holds one of these targets, other than the run ``besides``.

        Returns:
            The run, None if it is yet to be written down, with what it holds; or None.
        """
        wanted = tuple(targets)
        for one in self._read()[0].held:
            if one.run_id != besides and _common(one, wanted):
                run = self._run(one)
                if _lives(run, one, self._clock.now()):
                    return run, one
        return None

    def _demand_gone(self, holding: Holding, wanted: Iterable[str], taker: str) -> None:
        """Make sure that a holder's run has ended; one that is dead is ended here, for good.

        Raises:
            LockedError: it lives.
        """
        run = self._run(holding)
        if _lives(run, holding, self._clock.now()):
            raise held_by(holding, wanted)
        if holding.released or run is None or run.ended:
            return
        error = ErrorInfo(
            code="taken_over",
            message=f"Its host has been silent since {run.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC, and run "
            f"{taker} took its targets over.",
            hint=f"Follow run {taker}.",
        )

        def ended(stored: Run) -> Run:
            now = self._clock.now()
            if not (stored.ended or stored.dead(now)):
                raise held_by(holding, wanted)  # it has come back to life just now
            if stored.ended:
                return stored
            end = {"state": State.FAILED, "finished_at": now, "error": error}
            return stored.model_copy(update={**end, "attempt": stored.attempt + 1})

        self._runs.update(run.kind, run.id, run.attempt, ended)

    def _run(self, holding: Holding) -> Run | None:
        try:
            return self._runs.find(holding.run_id)
        except NotFoundError:
            return None

    def _read(self) -> tuple[Holdings, str | None]:
        try:
            return read(self._storage, paths.STATE, paths.TARGETS, Holdings)
        except NotFoundError:
            return Holdings(), None

    def _write(self, value: Holdings, etag: str | None) -> bool:
        """Whether it was written; False when somebody else was faster."""
        try:
            if etag is None:
                documents.create(self._storage, paths.STATE, paths.TARGETS, value.as_json())
            else:
                documents.replace(self._storage, paths.STATE, paths.TARGETS, value.as_json(), etag)
        except (AlreadyExistsError, ConflictError):
            return False
        return True


def _lives(run: Run | None, holding: Holding, now: datetime) -> bool:
    """Whether a holder may still write; one that was never written down has ten minutes to be."""
    if holding.released:
        return False
    if run is None:
        return now - holding.since <= DEAD_AFTER
    return not run.ended and not run.dead(now)


def _common(holding: Holding, wanted: Iterable[str]) -> list[str]:
    asked = {one.casefold() for one in wanted}
    return [one for one in holding.targets if one.casefold() in asked]


def held_by(holding: Holding, wanted: Iterable[str]) -> LockedError:
    """The refusal of whoever wants what a run holds."""
    common = _common(holding, wanted)
    more = f" and {len(common) - _NAMED} more" if len(common) > _NAMED else ""
    return LockedError(
        f"Restore {holding.run_id} works on {' and '.join(common[:_NAMED])}{more}.",
        f"Follow it (GET /api/restores/{holding.run_id}), and try again when it has ended. If its host is "
        f"gone, it counts as dead {DEAD_AFTER.seconds // 60} minutes after its last sign of life.",
        run_id=holding.run_id,
    )
