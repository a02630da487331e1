"""The one place that builds clients and stores from settings."""

from __future__ import annotations

from dataclasses import dataclass

from shared.blob.storage import Storage
from shared.catalogue import Catalogue
from shared.clock import Clock, NewId, SystemClock, new_ulid
from shared.errors import InvalidSettingsError
from shared.octopus.api import OctopusApi
from shared.settings import Settings
from shared.stores.qdrant import QdrantStore
from shared.stores.sqlserver import SqlServerStore


@dataclass(frozen=True)
class System:
    """Everything that a workflow's activities work with. Built once per process; connects when used."""

    settings: Settings
    clock: Clock
    new_id: NewId
    storage: Storage
    catalogue: Catalogue
    octopus: OctopusApi | None
    _sqlserver: SqlServerStore | None
    _qdrant: QdrantStore | None

    @property
    def has_sqlserver(self) -> bool:
        """Whether there is a SQL Server to back up."""
        return self._sqlserver is not None

    @property
    def has_qdrant(self) -> bool:
        """Whether there is a Qdrant to back up."""
        return self._qdrant is not None

    @property
    def sqlserver(self) -> SqlServerStore:
        """The SQL Server store.

        Raises:
            InvalidSettingsError: none is set.
        """
        if self._sqlserver is None:
            raise InvalidSettingsError("No SQL Server is set.", "Set SQLSERVER_CONNECTION.")
        return self._sqlserver

    @property
    def qdrant(self) -> QdrantStore:
        """The Qdrant store.

        Raises:
            InvalidSettingsError: none is set.
        """
        if self._qdrant is None:
            raise InvalidSettingsError("No Qdrant is set.", "Set QDRANT_URLS.")
        return self._qdrant


def compose(settings: Settings, clock: Clock | None = None, new_id: NewId = new_ulid) -> System:
    """Build the system. Opens no connection.

    Args:
        settings: the checked settings.
        clock: the time; the machine's own if None.
        new_id: makes identifiers.
    """
    clock = clock or SystemClock()
    storage = Storage.open(settings.storage, clock)
    sql, qdrant, octopus = settings.sqlserver, settings.qdrant, settings.octopus
    return System(
        settings=settings,
        clock=clock,
        new_id=new_id,
        storage=storage,
        catalogue=Catalogue(storage, clock),
        octopus=OctopusApi(octopus, clock) if octopus.api_url else None,
        _sqlserver=SqlServerStore(sql, storage, clock) if sql.connection else None,
        _qdrant=QdrantStore(qdrant, storage, clock) if qdrant.urls else None,
    )
