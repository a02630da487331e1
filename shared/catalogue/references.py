"""References: the rows of recovery points as drills counted them, each a document of its own."""

from __future__ import annotations

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read_all
from shared.model.backups import Count, Quality
from shared.model.drills import Reference
from shared.model.points import RecoveryPoint, SqlSide


class References:
    """What drills counted. Of several drills of one point the first counts; later ones are judged by it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def add(self, reference: Reference) -> None:
        """Keep what a drill counted. A run keeps one result per point, its first.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.reference(reference.point_id, reference.run_id)
        documents.create(self._storage, paths.CATALOGUE, name, reference.as_json(), attempt=reference.run_id)

    def of(self, point_id: str = "") -> dict[str, Reference]:
        """The references by the id of their point: of one point, or of all if ``point_id`` is empty.

        Raises:
            UnreachableError, NotPermittedError, StorageError: they could not be read.
        """
        prefix = paths.references(point_id)
        names = [entry.name for entry in documents.entries(self._storage, paths.CATALOGUE, prefix)]
        found = read_all(self._storage, paths.CATALOGUE, sorted(names, reverse=True), Reference)
        return {one.point_id: one for one in found}  # the first run's, because it is the last that is put in


def with_reference(point: RecoveryPoint, references: dict[str, Reference]) -> RecoveryPoint:
    """A recovery point with what a drill of it counted in place of counts that are only approximate."""
    known = references.get(point.id)
    if known is None:
        return point
    sides = tuple(_counted(side, known.databases.get(side.database, {})) for side in point.sql)
    return point.model_copy(update={"sql": sides})


def _counted(side: SqlSide, rows: dict[str, int]) -> SqlSide:
    tables = {
        table: Count(value=rows[table], quality=Quality.REFERENCE)
        if count.quality is Quality.APPROXIMATE and table in rows
        else count
        for table, count in side.tables.items()
    }
    return side.model_copy(update={"tables": tables})
