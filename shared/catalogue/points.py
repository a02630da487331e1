"""Recovery points."""

from __future__ import annotations

import json
from collections.abc import Iterator

from shared.blob import documents
from shared.blob.documents import Entry
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.backups import HINT
from shared.catalogue.records import read, read_all
from shared.errors import NotFoundError
from shared.model.points import RecoveryPoint


class Points:
    """All committed recovery points."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def commit(self, point: RecoveryPoint) -> None:
        """Make a recovery point: from here on it exists. Repeating it for the same run changes nothing.

        Raises:
            AlreadyExistsError: another run committed a point of this id.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        documents.create(
            self._storage,
            paths.CATALOGUE,
            paths.recovery_point(point.id),
            point.as_json(),
            metadata={HINT: json.dumps(point.name)},
            attempt=point.run_id,
        )

    def get(self, id_or_name: str) -> RecoveryPoint:
        """The recovery point of that id, or else the newest of that name.

        Raises:
            NotFoundError: there is none.
            IntegrityError: its document is damaged, or of a newer version.
        """
        for name in self._candidates(id_or_name):
            try:
                return read(self._storage, paths.CATALOGUE, name, RecoveryPoint)[0]
            except NotFoundError:
                continue
        raise NotFoundError(
            f"There is no recovery point {id_or_name[:100]!r}.",
            "`octopus-backup list` shows those that exist.",
        )

    def all(self) -> list[RecoveryPoint]:
        """Every recovery point, newest first."""
        newest_first = [entry.name for entry in self._listed()]
        return read_all(self._storage, paths.CATALOGUE, newest_first, RecoveryPoint)

    def _candidates(self, id_or_name: str) -> Iterator[str]:
        yield paths.recovery_point(id_or_name)
        hint = json.dumps(id_or_name)
        yield from (entry.name for entry in self._listed() if entry.metadata.get(HINT) == hint)

    def _listed(self) -> list[Entry]:
        found = documents.entries(self._storage, paths.CATALOGUE, paths.RECOVERY_POINTS)
        return sorted(found, key=lambda entry: entry.name, reverse=True)  # ids sort by time
