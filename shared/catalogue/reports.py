"""Reports: what a run did and proved, kept for the auditor beside the backups."""

from __future__ import annotations

from typing import Any

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths


class Reports:
    """The reports of all runs, written once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def save(self, run_id: str, attempt: int, report: dict[str, Any]) -> None:
        """Keep the report of one attempt at a run. The first one stays when the attempt is repeated.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.report(run_id, attempt)
        documents.create(self._storage, paths.CATALOGUE, name, report, attempt=f"{run_id}/{attempt}")
