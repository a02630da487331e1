"""Claims: which run a slot of a timer, or a caller's idempotency key, was taken for."""

from __future__ import annotations

from datetime import datetime

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read
from shared.errors import AlreadyExistsError, ConflictError, NotFoundError
from shared.model.base import Document
from shared.model.runs import Claim


class KeyedRun(Document):
    """The run that an idempotency key stands for."""

    key: str
    run_id: str


class Claims:
    """The claims of all timers and callers."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, timer: str, slot: datetime) -> tuple[Claim, str] | None:
        """The claim of a slot and its ETag; None if nobody has taken the slot.

        Raises:
            IntegrityError: it is damaged, or of a newer version.
            UnreachableError, NotPermittedError, StorageError: it could not be read.
        """
        try:
            return read(self._storage, paths.STATE, paths.claim(timer, slot), Claim)
        except NotFoundError:
            return None

    def take(self, claim: Claim, etag: str | None) -> bool:
        """Take a slot for a run.

        Args:
            claim: names the run.
            etag: of the claim that is taken over; None for a slot that nobody has taken.

        Returns:
            Whether it is ours; False when somebody else was faster.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.claim(claim.timer, claim.slot)
        try:
            if etag is None:
                documents.create(self._storage, paths.STATE, name, claim.as_json())
            else:
                documents.replace(self._storage, paths.STATE, name, claim.as_json(), etag)
        except (AlreadyExistsError, ConflictError):
            return False
        return True

    def run_for_key(self, key: str, run_id: str) -> str:
        """The run that a caller's idempotency key stands for, for ever.

        Args:
            key: anything that the caller made up.
            run_id: the run that it is to stand for if it is new.

        Returns:
            ``run_id``, or the run that the key was first used for.

        Raises:
            IntegrityError: what was kept of the key is damaged, or of a newer version.
            UnreachableError, NotPermittedError, StorageError: it could not be kept or read.
        """
        name = paths.key(key)
        try:
            documents.create(self._storage, paths.STATE, name, KeyedRun(key=key, run_id=run_id).as_json())
        except AlreadyExistsError:
            return read(self._storage, paths.STATE, name, KeyedRun)[0].run_id
        return run_id
