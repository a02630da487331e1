"""Reports: what a run did and proved, kept for the auditor beside the backups; and what people say of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from shared.blob import documents, upload
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read_all
from shared.errors import AlreadyExistsError
from shared.model.verdicts import Verdict


class Reports:
    """The reports of all runs, written once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def save(self, run_id: str, attempt: int, report: dict[str, Any], html: str | None = None) -> None:
        """Keep the report of one attempt at a run. The first one stays when the attempt is repeated.

        Args:
            run_id: the run.
            attempt: which attempt at it.
            report: plain JSON data.
            html: the same for reading, where there is such a form.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        by = f"{run_id}/{attempt}"
        documents.create(self._storage, paths.CATALOGUE, paths.report(run_id, attempt), report, attempt=by)
        if html is not None:
            name = paths.report(run_id, attempt, "html")
            with suppress(AlreadyExistsError):  # by an earlier delivery of the same end
                upload.upload(self._storage, paths.CATALOGUE, name, [html.encode("utf-8")], attempt=by)

    def add_verdict(self, verdict: Verdict) -> None:
        """Keep what a person said about a run. Nothing that is there is changed.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.verdict(verdict.run_id, verdict.id)
        documents.create(self._storage, paths.CATALOGUE, name, verdict.as_json(), attempt=verdict.id)

    def verdicts(self, run_id: str) -> list[Verdict]:
        """What people said about a run, the oldest first."""
        listed = documents.entries(self._storage, paths.CATALOGUE, paths.verdicts(run_id))
        return read_all(self._storage, paths.CATALOGUE, (entry.name for entry in listed), Verdict)
