"""Restore plans."""

from __future__ import annotations

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read
from shared.errors import NotFoundError
from shared.model.plans import Plan


class Plans:
    """The plans that were shown to somebody."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def save(self, plan: Plan) -> None:
        """Keep a plan. It is never changed; saving it twice changes nothing.

        Raises:
            AlreadyExistsError: another plan has its id.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        documents.create(self._storage, paths.STATE, paths.plan(plan.id), plan.as_json(), attempt=plan.digest)

    def get(self, plan_id: str) -> Plan:
        """The plan of that id.

        Raises:
            NotFoundError: there is none.
            IntegrityError: it is damaged, or of a newer version.
        """
        try:
            return read(self._storage, paths.STATE, paths.plan(plan_id), Plan)[0]
        except NotFoundError:
            raise NotFoundError(f"There is no plan {plan_id[:40]!r}.", "Ask for a new plan.") from None
