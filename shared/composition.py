"""The one place that builds clients and stores from settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    _drill_sqlserver: SqlServerStore | None = None
    _drill_qdrant: QdrantStore | None = None
    commands_allowed: bool = False
    """Whether commands of the settings may be executed: on a person's machine only, never in the app."""

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
    practised = settings.for_drill().qdrant if settings.drill.qdrant_urls else None
    return System(
        settings=settings,
        clock=clock,
        new_id=new_id,
        storage=storage,
        catalogue=Catalogue(storage, clock),
        octopus=OctopusApi(octopus, clock) if octopus.api_url else None,
        _sqlserver=SqlServerStore(sql, storage, clock) if sql.connection else None,
        _qdrant=QdrantStore(qdrant, storage, clock) if qdrant.urls else None,
        _drill_sqlserver=_practised_sqlserver(settings, storage, clock),
        _drill_qdrant=QdrantStore(practised, storage, clock) if practised else None,
    )


def _practised_sqlserver(settings: Settings, storage: Storage, clock: Clock) -> SqlServerStore | None:
    if not settings.drill.sqlserver_connection:
        return None
    try:
        return SqlServerStore(settings.for_drill().sqlserver, storage, clock)
    except InvalidSettingsError as error:  # the store knows the setting by the live server's name only
        named = error.message.replace("SQLSERVER_CONNECTION", "DRILL_SQLSERVER_CONNECTION")
        raise InvalidSettingsError(named, error.hint) from None


def for_drill(system: System) -> System:
    """The system with the servers that drills restore to in place of the live ones, and without Octopus.

    Storage and catalogue are the same: a drill reads the real backups, and its run is kept with the others.

    Raises:
        InvalidSettingsError: ``drill_servers_missing``: for a store that is backed up no server is named, and
            drills are not allowed on the live ones.
    """
    drill = system.settings.drill
    wanted = {
        "DRILL_SQLSERVER_CONNECTION": system.has_sqlserver and system._drill_sqlserver is None,
        "DRILL_QDRANT_URLS": system.has_qdrant and system._drill_qdrant is None,
    }
    missing = [name for name, is_missing in wanted.items() if is_missing]
    if missing and not drill.on_live:
        raise InvalidSettingsError(
            f"There is no server for a drill: {', '.join(missing)} not set.",
            "Name servers that drills may restore to. DRILL_ON_LIVE_SERVERS=true allows the live ones, under "
            "scratch names; a bad snapshot can take a Qdrant server down.",
            code="drill_servers_missing",
        )
    return replace(
        system,
        settings=system.settings.for_drill(),
        octopus=None,
        _sqlserver=system._drill_sqlserver or system._sqlserver,
        _qdrant=system._drill_qdrant or system._qdrant,
    )
