"""Runs: their state, changed by one attempt at a time, and the finished parts that a resumed run keeps."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from typing import Any

from ulid import ULID

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read, read_all
from shared.clock import Clock
from shared.errors import ConflictError, NotFoundError
from shared.model.base import Document
from shared.model.runs import Run, RunKind

_TRIES = 20
_WAIT_SECONDS = 0.5
"""Between two tries at most, drawn at random, so that several activities of a run let each other through."""

_WINDOWS = (4, 3, 0)
"""Leading characters of a ULID that are looked at one after the other to find the newest runs: the same four
cover 12 days, the same three 13 months. A year of log backups alone is 35,000 runs."""


KEPT = "kept"
"""In a run's result: the part of the run that holds the rest of it."""


class Part(Document):
    """A finished part of a run."""

    key: str
    value: dict[str, Any]


class Runs:
    """The state of all runs."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def create(self, run: Run) -> None:
        """Write a new run down.

        Raises:
            AlreadyExistsError: it was written down before.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        documents.create(self._storage, paths.STATE, paths.run(run.kind, run.id), _state(run))

    def get(self, kind: RunKind, run_id: str) -> Run:
        """A run.

        Raises:
            NotFoundError: there is none of that kind and id.
            IntegrityError: its state is damaged, or of a newer version.
        """
        return self._read(kind, run_id)[0]

    def find(self, run_id: str) -> Run:
        """A run of any kind.

        Raises:
            NotFoundError: there is none of that id.
            IntegrityError: its state is damaged, or of a newer version.
        """
        for kind in RunKind:
            try:
                return self.get(kind, run_id)
            except NotFoundError:
                continue
        raise _unknown(run_id)

    def has_ended(self, run_id: str) -> bool:
        """Whether a run of that id, of any kind, has ended; not one that was never written down."""
        try:
            return self.find(run_id).ended
        except NotFoundError:
            return False

    def recent(self, kind: RunKind, limit: int) -> list[Run]:
        """The newest runs of a kind, newest first."""
        now = str(ULID.from_datetime(self._clock.now()))
        names: list[str] = []
        for length in _WINDOWS:
            listed = documents.entries(self._storage, paths.STATE, paths.runs(kind, now[:length]))
            names = sorted((entry.name for entry in listed), reverse=True)
            if len(names) >= limit:
                break
        return read_all(self._storage, paths.STATE, names[:limit], Run)

    def update(self, kind: RunKind, run_id: str, attempt: int, change: Callable[[Run], Run]) -> Run:
        """Change a run's state, however many others change it at the same time.

        Args:
            kind: the run's kind.
            run_id: the run's id.
            attempt: the attempt that the caller belongs to.
            change: gives the new state for the one that is stored; may be called several times.

        Returns:
            The state that was written.

        Raises:
            ConflictError: a later attempt has taken the run over, so the caller must stop (not retryable);
                or others were faster twenty times (retryable).
            NotFoundError: there is no such run.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        for _ in range(_TRIES):
            stored, etag = self._read(kind, run_id)
            if stored.attempt > attempt:
                raise _taken_over(stored, attempt)
            changed = change(stored)
            try:
                documents.replace(self._storage, paths.STATE, paths.run(kind, run_id), _state(changed), etag)
            except ConflictError:
                self._clock.sleep(secrets.SystemRandom().uniform(0, _WAIT_SECONDS))
            else:
                return changed
        raise ConflictError(f"The state of run {run_id} was changed by others {_TRIES} times in a row.")

    def save_part(self, run_id: str, key: str, value: dict[str, Any]) -> None:
        """Keep a finished part of a run under any key; a later value replaces an earlier one.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        part = Part(key=key, value=value)
        documents.put(self._storage, paths.STATE, paths.run_part(run_id, key), part.as_json())

    def find_part(self, run_id: str, key: str) -> dict[str, Any] | None:
        """A finished part of a run; None if it is not there."""
        try:
            return read(self._storage, paths.STATE, paths.run_part(run_id, key), Part)[0].value
        except NotFoundError:
            return None

    def part(self, run_id: str, key: str) -> dict[str, Any]:
        """A finished part of a run.

        Raises:
            NotFoundError: it is not there.
        """
        value = self.find_part(run_id, key)
        if value is None:
            raise NotFoundError(f"Run {run_id[:40]} has kept nothing under {key[:100]!r}.")
        return value

    def parts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Every finished part of a run by its key."""
        listed = documents.entries(self._storage, paths.STATE, paths.run_parts(run_id))
        kept = read_all(self._storage, paths.STATE, (entry.name for entry in listed), Part)
        return {part.key: part.value for part in kept}

    def some_parts(self, run_id: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """Those of many parts that are there, by key; what was never kept costs no request of its own."""
        there = {
            entry.name for entry in documents.entries(self._storage, paths.STATE, paths.run_parts(run_id))
        }
        names = [name for key in keys if (name := paths.run_part(run_id, key)) in there]
        return {part.key: part.value for part in read_all(self._storage, paths.STATE, names, Part)}

    def whole(self, run: Run) -> Run:
        """A run with everything that it keeps in parts: the evidence of its steps, and its result.

        Its state in Blob Storage stays small, because it is written for every step, however many there are.

        Raises:
            UnreachableError, NotPermittedError, StorageError: they could not be read.
        """
        keys = [step.kept for step in run.steps if step.kept]
        kept_result = run.result.get(KEPT)
        names = [paths.run_part(run.id, key) for key in [*keys, *([kept_result] if kept_result else [])]]
        if not names:
            return run
        kept = {part.key: part.value for part in read_all(self._storage, paths.STATE, names, Part)}
        steps = tuple(
            step.model_copy(update={"evidence": step.evidence | kept.get(step.kept or "", {})})
            for step in run.steps
        )
        return run.model_copy(update={"steps": steps, "result": run.result | kept.get(kept_result or "", {})})

    def _read(self, kind: RunKind, run_id: str) -> tuple[Run, str]:
        try:
            return read(self._storage, paths.STATE, paths.run(kind, run_id), Run)
        except NotFoundError:
            raise _unknown(run_id) from None


def _state(run: Run) -> dict[str, Any]:
    """A run as it is kept: without what is as it is by default, of which a thousand steps have very much."""
    return {"schema": run.schema_, **run.model_dump(mode="json", by_alias=True, exclude_defaults=True)}


def _unknown(run_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no run {run_id[:40]!r}.",
        "Runs are listed by `octopus-backup runs`, and with GET /api/backups, /api/recovery-points and "
        "/api/restores.",
    )


def _taken_over(stored: Run, attempt: int) -> ConflictError:
    error = ConflictError(
        f"Run {stored.id} is in its attempt {stored.attempt}; attempt {attempt} must stop.",
        code="taken_over",
        meaning="The later attempt does the work.",
    )
    error.retryable = False
    return error
