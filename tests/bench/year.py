"""A year of backups in a small world's catalogue: 35,040 logs, 2,190 differentials, 365 fulls, 365 points.

They lie before the world's own backups: the same database, family and recovery fork, lower LSNs. Manifests
are written with bare requests, which cost less than the storage SDK's. Of the data files only those of one
day are there, which is all that a plan looks at.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from ulid import ULID

from shared.catalogue import paths
from shared.catalogue.backups import HINT
from shared.model.backups import BlobRef, Kind, Manifest, QdrantFacts, SqlFacts, Store
from shared.model.hints import hint_of
from shared.model.points import RecoveryPoint, SqlSide, VectorSide
from tests.world import World

DAYS = 365
LOGS_A_DAY, DIFFERENTIALS_A_DAY = 96, 6
PROBED = 100
"""So many days before its end lies the day whose files are there."""

_STEP = timedelta(minutes=15)
_THREADS = 8
_SIZE = 1000


def ulid_at(moment: datetime, number: int) -> str:
    """An id of that millisecond."""
    return str(ULID.from_bytes(ULID.from_datetime(moment).bytes[:6] + number.to_bytes(10)))


class Year:
    """The year that ends where the world's own backups begin."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.real = next(
            manifest
            for hint in world.system.catalogue.backups.all_sql_hints()
            if isinstance((manifest := world.system.catalogue.backups.chosen(hint)).facts, SqlFacts)
        )
        first = min(hint.started_at for hint in world.system.catalogue.backups.all_sql_hints())
        self.end = first.replace(microsecond=0) - timedelta(minutes=30)
        self.start = self.end - timedelta(days=DAYS)
        self.made: list[RecoveryPoint] = []

    @property
    def probed(self) -> datetime:
        """A moment in the day whose files are there, between two logs."""
        return self.start + timedelta(days=DAYS - PROBED, hours=20, minutes=7)

    def fill(self) -> int:
        """Write everything; gives the number of documents."""
        with contextlib.closing(_Writer(self.world)) as writer, ThreadPoolExecutor(_THREADS) as pool:
            count = sum(1 for _ in pool.map(writer.put, self._sql()))
            sets = list(self._sets())
            for _ in pool.map(self.world.system.catalogue.backups.commit, sets):
                count += 1
            for _ in pool.map(self.world.system.catalogue.points.commit, self._points(sets)):
                count += 1
        return count

    def _lsn(self, slot: int) -> int:
        """Where the log stood after so many quarters of an hour: below the world's own backups."""
        facts = self.real.facts
        assert isinstance(facts, SqlFacts)
        return facts.checkpoint_lsn * (slot + 1) // (DAYS * LOGS_A_DAY + 10)

    def _sql(self) -> Iterator[Manifest]:
        base = ""
        for slot in range(DAYS * LOGS_A_DAY):
            at, lsn = self.start + slot * _STEP, self._lsn(slot)
            of_day = slot % LOGS_A_DAY
            if of_day == 0:
                full = self._backup(Kind.FULL, slot, at + timedelta(minutes=1), lsn, lsn + 1)
                assert isinstance(full.facts, SqlFacts)
                base = full.facts.backup_set_uuid
                yield full
            if of_day % (LOGS_A_DAY // DIFFERENTIALS_A_DAY) == 8:
                when = at + timedelta(minutes=2)
                yield self._backup(Kind.DIFFERENTIAL, slot, when, lsn, lsn + 2, differential_base_guid=base)
            yield self._backup(Kind.LOG, slot, at + _STEP, lsn, self._lsn(slot + 1))

    def _backup(self, kind: Kind, slot: int, at: datetime, first: int, last: int, **facts: Any) -> Manifest:
        number = slot * 4 + list(Kind).index(kind)
        identifier = ulid_at(at, number)
        name = f"{paths.data_prefix(Store.SQLSERVER, self.real.scope, kind, identifier, 'a1')}/1.bak"
        etag = '"0x1"'
        if slot // LOGS_A_DAY == DAYS - PROBED:
            blob = self.world.storage.get_blob_client("data", name)
            etag = str(blob.upload_blob(b"x" * _SIZE, overwrite=True)["etag"])
        values = {
            "backup_set_uuid": f"{number:08x}-0000-4000-8000-000000000000",
            "first_lsn": first,
            "last_lsn": last,
            "checkpoint_lsn": first,
            "files": (BlobRef(container="data", name=name, size=_SIZE, etag=etag),),
            "has_bulk_logged_data": False,
        }
        return self.real.model_copy(
            update={
                "id": identifier,
                "kind": kind,
                "slot": None,
                "started_at": at,
                "finished_at": at + timedelta(seconds=3),
                "facts": self.real.facts.model_copy(update=values | facts),
            }
        )

    def _sets(self) -> Iterator[Manifest]:
        for day in range(DAYS):
            at = self.start + timedelta(days=day, hours=2, minutes=30)
            yield Manifest(
                id=ulid_at(at, day),
                store=Store.QDRANT,
                scope=paths.QDRANT_SCOPE,
                kind=Kind.SNAPSHOT_SET,
                run_id="year",
                attempt="a1",
                started_at=at,
                finished_at=at + timedelta(minutes=5),
                made_by="year",
                facts=QdrantFacts(versions={"1": "1.19.0"}, collections=(), parts=()),
            )

    def _points(self, sets: list[Manifest]) -> Iterator[RecoveryPoint]:
        facts = self.real.facts
        assert isinstance(facts, SqlFacts)
        for day, made in enumerate(sets):
            slot = day * LOGS_A_DAY + 10
            at = self.start + slot * _STEP + timedelta(minutes=6)
            log = self._id_of_log(slot)
            side = SqlSide(
                server=facts.server,
                database=facts.database,
                mark_name=f"rp_{ulid_at(at, day)}",
                mark_lsn=(self._lsn(slot) + self._lsn(slot + 1)) // 2,
                at=at,
                log_backup_id=log,
                tables={},
            )
            yield RecoveryPoint(
                id=ulid_at(at, day),
                name=f"day {day}",
                run_id="year",
                made_at=at,
                complete=True,
                vectors=VectorSide(
                    snapshot_set_id=made.id,
                    started_at=made.started_at,
                    finished_at=made.finished_at,
                    collections={},
                ),
                sql=(side,),
                skew_seconds=(at - made.started_at).total_seconds(),
            )

    def _id_of_log(self, slot: int) -> str:
        return ulid_at(self.start + (slot + 1) * _STEP, slot * 4 + list(Kind).index(Kind.LOG))


class _Writer:
    """Puts manifests with a right of its own, over one connection for each thread."""

    def __init__(self, world: World) -> None:
        parts = urlsplit(world.servers.storage_url(world.account))
        self._host, self._path = parts.netloc, parts.path
        self._context = ssl.create_default_context(cafile=str(world.servers.azurite.certificate))
        self._right = generate_container_sas(
            world.account,
            paths.CATALOGUE,
            account_key=world.account_key,
            permission=ContainerSasPermissions(write=True, create=True),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        self._threads = threading.local()
        self._open: list[http.client.HTTPSConnection] = []

    def close(self) -> None:
        """Close the connections."""
        for connection in self._open:
            connection.close()

    def put(self, manifest: Manifest) -> None:
        """Write a manifest as ``Backups.commit`` does."""
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=60)
            self._threads.connection = connection
            self._open.append(connection)
        name = paths.manifest(manifest.store, manifest.scope, manifest.kind, manifest.id)
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": "2025-01-05",
            f"x-ms-meta-{HINT}": json.dumps(hint_of(manifest).as_json(), separators=(",", ":")),
            "x-ms-meta-attempt": manifest.attempt,
        }
        path = f"{self._path}/{paths.CATALOGUE}/{quote(name)}?{self._right}"
        connection.request("PUT", path, json.dumps(manifest.as_json()).encode(), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == http.client.CREATED, answer.status
