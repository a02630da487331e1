"""Backups: their manifests, what a listing tells of them, and what was found when they were looked at."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain

from pydantic import ValidationError

from shared.blob import documents
from shared.blob.listing import Entry
from shared.blob.storage import Storage
from shared.catalogue import paths
from shared.catalogue.records import read, read_all
from shared.errors import IntegrityError, NotFoundError
from shared.model.backups import Kind, Manifest, Store, Verification
from shared.model.hints import SetHint, SqlHint, agrees, hint_of

_log = logging.getLogger(__name__)

PASSED = "passed"
"""Metadata key of a verification's result."""

HINT = "hint"
"""Metadata key of the hint: compact JSON in ASCII, far below the 8 KiB that metadata may have."""

_NEWEST_DAYS = (2, 8)
"""How many days are looked at for the newest backups, in the first and in the second try."""


class Backups:
    """All committed backups."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def commit(self, manifest: Manifest) -> None:
        """Make a backup: from here on it exists. Repeating it for the same attempt changes nothing.

        Raises:
            AlreadyExistsError: another attempt committed this backup.
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        hint = json.dumps(hint_of(manifest).as_json(), separators=(",", ":"))
        documents.create(
            self._storage,
            paths.CATALOGUE,
            paths.manifest(manifest.store, manifest.scope, manifest.kind, manifest.id),
            manifest.as_json(),
            metadata={HINT: hint},
            attempt=manifest.attempt,
        )

    def get(self, backup_id: str) -> Manifest:
        """The backup of that id; its scope is found by asking each for it.

        Raises:
            NotFoundError: there is no such backup.
            IntegrityError: its manifest is damaged, or of a newer version.
        """
        where = (Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET)
        paths.manifest(*where, backup_id)  # is it an id at all?
        for store, scope, kind in chain([where], self._series()):  # of sets the scope is known beforehand
            found = self.find(store, scope, kind, backup_id)
            if found:
                return found
        raise NotFoundError(
            f"There is no backup {backup_id}.", "`octopus-backup list` shows those that exist."
        )

    def find(self, store: Store, scope: str, kind: Kind, backup_id: str) -> Manifest | None:
        """The backup of that id in its series, in one request; None if it was not committed.

        Raises:
            IntegrityError: its manifest is damaged, or of a newer version.
        """
        try:
            return self._at(paths.manifest(store, scope, kind, backup_id))
        except NotFoundError:
            return None

    def sql_hints(self, server: str, database: str) -> list[SqlHint]:
        """What a listing tells of all backups of a database, oldest first."""
        return self._sql_hints(paths.manifests(Store.SQLSERVER, paths.sql_scope(server, database)))

    def newest_sql_hints(self, server: str, database: str, fork: str, now: datetime) -> list[SqlHint]:
        """The newest backups of a database, enough to tell how far the log of a recovery fork is held.

        A year has 38,000 backups, so the days are listed backwards, in growing steps, until one of that fork
        is among them, and all of them only when none is.

        Args:
            server: the server's name.
            database: the database's name.
            fork: GUID of the recovery fork.
            now: UTC.
        """
        prefix = paths.manifests(Store.SQLSERVER, paths.sql_scope(server, database))
        for days in _NEWEST_DAYS:
            found = [
                hint
                for kind in (Kind.FULL, Kind.DIFFERENTIAL, Kind.LOG)
                for back in range(-1, days)  # a day more: the clock that made an id can be ahead
                for hint in self._sql_hints(f"{prefix}{kind}/{now - timedelta(days=back):%Y/%m/%d}/")
            ]
            if any(hint.last_recovery_fork_guid == fork for hint in found):
                return sorted(found, key=lambda hint: (hint.started_at, hint.id))
        return self._sql_hints(prefix)

    def full_hints(self, server: str, database: str) -> list[SqlHint]:
        """What a listing tells of the full backups of a database, oldest first."""
        prefix = paths.manifests(Store.SQLSERVER, paths.sql_scope(server, database))
        return self._sql_hints(f"{prefix}{Kind.FULL}/")

    def all_sql_hints(self) -> list[SqlHint]:
        """What a listing tells of all backups of all databases, oldest first."""
        return self._sql_hints(paths.manifests(Store.SQLSERVER))

    def set_hints(self) -> list[SetHint]:
        """What a listing tells of all snapshot sets, oldest first."""
        prefix = paths.manifests(Store.QDRANT, paths.QDRANT_SCOPE)
        hints = [hint for hint in self._hints(prefix) if isinstance(hint, SetHint)]
        return sorted(hints, key=lambda hint: (hint.started_at, hint.id))

    def chosen(self, hint: SqlHint | SetHint) -> Manifest:
        """The manifest behind a hint, which must say the same.

        Raises:
            NotFoundError: it was removed meanwhile.
            IntegrityError: it is damaged, or the hint that it was chosen by is wrong.
        """
        if isinstance(hint, SqlHint):
            scope = paths.sql_scope(hint.server, hint.database)
            name = paths.manifest(Store.SQLSERVER, scope, hint.kind, hint.id)
        else:
            name = paths.manifest(Store.QDRANT, paths.QDRANT_SCOPE, Kind.SNAPSHOT_SET, hint.id)
        manifest = self._at(name)
        if not agrees(hint, manifest):
            raise IntegrityError(
                f"The listing tells something else of backup {hint.id} than its manifest does.",
                f"Somebody changed {paths.CATALOGUE}/{name} or its metadata; compare the two.",
            )
        return manifest

    def add_verification(self, verification: Verification) -> None:
        """Keep what a look at a backup found. A run keeps one result per backup, its first.

        Raises:
            UnreachableError, NotPermittedError, StorageError: it could not be written.
        """
        if not verification.passed:  # first, so that no failure stays unseen where a process ends in between
            backup_id = verification.backup_id
            documents.create(
                self._storage,
                paths.CATALOGUE,
                paths.suspect(backup_id),
                {"schema": 1, "backup_id": backup_id},
                attempt=backup_id,
            )
        documents.create(
            self._storage,
            paths.CATALOGUE,
            paths.verification(verification.backup_id, verification.run_id),
            verification.as_json(),
            metadata={PASSED: str(verification.passed).lower()},
            attempt=verification.run_id,
        )

    def damaged(self) -> set[str]:
        """Ids of the backups whose newest verification found them damaged.

        Only those that ever failed one are looked at: a year has 38,000 verifications, and nearly all passed.
        """
        suspects = documents.entries(self._storage, paths.CATALOGUE, paths.suspects())
        ids = [entry.name.removeprefix(paths.suspects()).removesuffix(".json") for entry in suspects]
        return {backup_id for backup_id in ids if not self._passed_last(backup_id)}

    def _passed_last(self, backup_id: str) -> bool:
        looks = list(documents.entries(self._storage, paths.CATALOGUE, paths.verifications(backup_id)))
        return bool(looks) and looks[-1].metadata.get(PASSED) != "false"  # runs are listed oldest first

    def verifications(self, backup_id: str) -> list[Verification]:
        """What was found whenever this backup was looked at, oldest first."""
        found = documents.entries(self._storage, paths.CATALOGUE, paths.verifications(backup_id))
        looks = read_all(self._storage, paths.CATALOGUE, (entry.name for entry in found), Verification)
        return sorted(looks, key=lambda look: look.verified_at)

    def _series(self) -> Iterator[tuple[Store, str, Kind]]:
        """Every store, scope and kind of which there are manifests."""
        for store in Store:
            scopes = [""]
            for _ in range(paths.scope_parts(store)):
                scopes = [f"{scope}{part}/" for scope in scopes for part in self._below(store, scope)]
            for scope in scopes:
                kinds = self._below(store, scope)
                yield from ((store, scope.rstrip("/"), kind) for kind in Kind if kind in kinds)

    def _below(self, store: Store, scope: str) -> list[str]:
        return documents.folders(self._storage, paths.CATALOGUE, paths.manifests(store) + scope)

    def _at(self, name: str) -> Manifest:
        return read(self._storage, paths.CATALOGUE, name, Manifest)[0]

    def _sql_hints(self, prefix: str) -> list[SqlHint]:
        hints = [hint for hint in self._hints(prefix) if isinstance(hint, SqlHint)]
        return sorted(hints, key=lambda hint: (hint.started_at, hint.id))

    def _hints(self, prefix: str) -> Iterator[SqlHint | SetHint]:
        for entry in documents.entries(self._storage, paths.CATALOGUE, prefix):
            hint = _hint(entry) or self._hint_read(entry)
            if hint is not None:
                yield hint

    def _hint_read(self, entry: Entry) -> SqlHint | SetHint | None:
        """The hint of a manifest whose metadata was lost; None, with a warning, if it is damaged as well."""
        try:
            return hint_of(self._at(entry.name))
        except (NotFoundError, IntegrityError) as error:
            _log.warning("Left out of planning: %s", error)
            return None


def _hint(entry: Entry) -> SqlHint | SetHint | None:
    model = SqlHint if entry.name.startswith(paths.manifests(Store.SQLSERVER)) else SetHint
    try:
        return model.model_validate_json(entry.metadata.get(HINT, ""))
    except ValidationError:
        return None
