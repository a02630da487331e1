"""Suspensions: what the timers leave alone because a restore works on it, or could not end its work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read, read_all
from shared.errors import NotFoundError
from shared.model.base import Document, UtcTime


class Suspension(Document):
    """The timers of one scope are suspended."""

    schema_: Literal[1] = Field(1, alias="schema")
    scope: str = Field(description="of the catalogue: {server}/{database}, each encoded, or qdrant")
    run_id: str = Field(description="the restore for which they are")
    since: UtcTime
    what: str = Field(description="what is not done meanwhile, for a person")
    database: str | None = Field(None, description="its name; None for the vectors")


class Suspensions:
    """The suspensions of all scopes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def set(self, suspension: Suspension) -> None:
        """Suspend the timers of a scope; a later suspension takes the place of an earlier one.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.suspension(suspension.scope)
        documents.put(self._storage, paths.STATE, name, suspension.as_json())

    def find(self, scope: str) -> Suspension | None:
        """The suspension of a scope, if there is one."""
        try:
            return read(self._storage, paths.STATE, paths.suspension(scope), Suspension)[0]
        except NotFoundError:
            return None

    def all(self) -> list[Suspension]:
        """Every suspension, by scope."""
        listed = documents.entries(self._storage, paths.STATE, paths.SUSPENSIONS)
        return read_all(self._storage, paths.STATE, (entry.name for entry in listed), Suspension)

    def lift(self, scope: str) -> None:
        """Let the timers of a scope work again; one that is not suspended stays so.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be removed.
        """
        documents.delete(self._storage, paths.STATE, paths.suspension(scope))
