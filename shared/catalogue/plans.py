"""Restore plans, and what belongs to one but is not shown with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from shared.blob import documents, upload
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read
from shared.errors import NotFoundError
from shared.model.backups import BlobRef
from shared.model.base import Document
from shared.model.plans import Plan


class Erasures(Document):
    """The users whose rows are deleted again after a restore."""

    schema_: Literal[1] = Field(1, alias="schema")
    users: tuple[str, ...]


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

    def save_erasures(self, plan_id: str, users: Sequence[str]) -> None:
        """Keep the ids of the users to erase beside a plan, which itself holds only their number and a hash.

        Raises:
            AlreadyExistsError: the plan has a list.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        value = Erasures(users=tuple(users)).as_json()
        documents.create(self._storage, paths.STATE, paths.plan_erasures(plan_id), value)

    def erasures(self, plan_id: str) -> tuple[str, ...]:
        """The ids of the users to erase after a restore by a plan, in the order that they were kept in.

        Raises:
            NotFoundError: the plan has no such list.
            IntegrityError: it is damaged, or of a newer version.
        """
        try:
            return read(self._storage, paths.STATE, paths.plan_erasures(plan_id), Erasures)[0].users
        except NotFoundError:
            raise NotFoundError(
                f"The list of erased users of plan {plan_id[:40]!r} is gone.",
                "Make a new plan with the list.",
                code="erasure_list_gone",
            ) from None

    def save_script(self, plan_id: str, text: str) -> BlobRef:
        """Keep a migration script beside a plan.

        Returns:
            The blob, with the SHA-256 of its bytes (UTF-8).

        Raises:
            AlreadyExistsError: the plan has another script.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        return upload.upload(
            self._storage, paths.STATE, paths.plan_script(plan_id), [text.encode()], attempt=plan_id
        )
