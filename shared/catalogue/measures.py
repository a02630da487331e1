"""How long the steps of restores and drills took."""

from __future__ import annotations

from shared.blob import documents
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read_all
from shared.model.measures import Measure, Measures

NEWEST = 30
"""So many runs are remembered: what is older was measured on other data, perhaps on other machines."""


class MeasuredRuns:
    """The durations of all runs: small documents beside the runs, so that a plan need not read those."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def save(self, measured: Measures) -> None:
        """Keep what was measured in a run; a later end of the same run replaces it.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        name = paths.measure(measured.run_id)
        documents.put(self._storage, paths.STATE, name, measured.as_json())

    def recent(self) -> tuple[Measure, ...]:
        """The steps of the newest runs, the newest run first.

        Raises:
            UnreachableError, NotPermittedError, StorageError: they could not be read.
        """
        listed = documents.entries(self._storage, paths.STATE, paths.measures())
        newest = sorted((entry.name for entry in listed), reverse=True)[:NEWEST]  # ids sort by time
        found = read_all(self._storage, paths.STATE, newest, Measures)
        return tuple(step for one in found for step in one.steps)
