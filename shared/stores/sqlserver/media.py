"""The two ways of a backup between SQL Server and Blob Storage, with one face.

``disk``: the server writes a file into a folder that we see too; we stream it into Blob Storage, hashed, and
remove it. ``url``: the server writes into Blob Storage itself, and no byte passes through us. Either kind of
blob can be restored either way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

from shared.blob import copy, download, upload
from shared.blob.storage import Storage
from shared.clock import NewId
from shared.errors import IntegrityError, InvalidSettingsError, StoreError
from shared.model.backups import BlobRef, Kind
from shared.settings import SqlServerSettings
from shared.stores.sqlserver.execute import Progress, bytes_of, scaled
from shared.stores.sqlserver.statements import Devices, Disk, Url

DATA: Final = "data"
LANDING: Final = "landing"

_SUFFIXES: Final = {Kind.FULL: "bak", Kind.DIFFERENTIAL: "bak", Kind.LOG: "trn"}
_PIECE: Final = 8 * 1024 * 1024
_STRIPE_BYTES: Final = 150 * 1024**3
"""What one stripe is planned to hold: a block blob takes 50,000 blocks, of 4 MiB as SQL Server writes them,
which is 195 GiB; the rest is kept for growth while the backup runs ("SQL Server backup to URL")."""
_MOST_STRIPES: Final = 64  # the most devices that a media set can have (BACKUP, "limits")
_IMMUTABLE_SINCE: Final = 17  # SQL Server 2025 is the first that can write into an immutable container


class Medium(Protocol):
    """How backups get into Blob Storage and back."""

    @property
    def name(self) -> Literal["disk", "url"]:
        """What the manifest says of it."""
        ...

    def devices(self, prefix: str, kind: Kind, size: int) -> Devices:
        """Where SQL Server shall write a backup of about ``size`` bytes; names never used before."""
        ...

    def again(self, physical_names: Sequence[str]) -> Devices:
        """The devices of a backup that exists, as msdb names them."""
        ...

    def collect(
        self, devices: Devices, prefix: str, kind: Kind, attempt: str, progress: Progress
    ) -> list[BlobRef]:
        """Bring what SQL Server wrote to its final place in container ``data``; safe to repeat."""
        ...

    def discard(self, devices: Devices) -> None:
        """Remove what a backup that failed has left, as far as that is ours to do."""
        ...

    def lend(
        self, files: Sequence[BlobRef], progress: Progress
    ) -> contextlib.AbstractContextManager[Devices]:
        """Devices that SQL Server can read ``files`` from, verified as far as we can, while the block lasts.

        Raises:
            IntegrityError: a blob is gone or is not what was committed.
        """
        ...


def medium_of(settings: SqlServerSettings, storage: Storage, new_id: NewId, major: int) -> Medium:
    """The way that the settings name, for a server of that major version."""
    if settings.medium == "url":
        return UrlMedium(storage, new_id, DATA if major >= _IMMUTABLE_SINCE else LANDING)
    if not settings.backup_dir or not settings.backup_dir_local:
        raise InvalidSettingsError(
            "SQLSERVER_BACKUP_MEDIUM is disk, but not both names of the folder are set.",
            r"Example: SQLSERVER_BACKUP_DIR=D:\backup, SQLSERVER_BACKUP_DIR_LOCAL=/mnt/backup.",
        )
    return DiskMedium(settings.backup_dir, Path(settings.backup_dir_local), storage, new_id)


class DiskMedium:
    """A folder that SQL Server and we both see.

    Args:
        server_dir: the folder as SQL Server names it.
        local_dir: the same folder as we see it.
        storage: where backups go.
        new_id: makes file names that were never used before. A second backup into a file that exists would
            be appended to it, and a restore would read the first.
    """

    name: Literal["disk"] = "disk"

    def __init__(self, server_dir: str, local_dir: Path, storage: Storage, new_id: NewId) -> None:
        self._separator = "\\" if "\\" in server_dir or server_dir[1:2] == ":" else "/"
        self._server_dir = server_dir.rstrip("\\/")
        self._local_dir = local_dir
        self._storage = storage
        self._new_id = new_id

    def devices(self, prefix: str, kind: Kind, size: int) -> list[Disk]:
        """One new file, whatever the size."""
        del prefix, size
        return [self._file(f"octopus-{kind}-{self._new_id()}.{_SUFFIXES[kind]}")]

    def again(self, physical_names: Sequence[str]) -> list[Disk]:
        """The files of a backup that exists."""
        return [Disk(name) for name in physical_names]

    def collect(
        self, devices: Devices, prefix: str, kind: Kind, attempt: str, progress: Progress
    ) -> list[BlobRef]:
        """Stream each file into Blob Storage, then remove it."""
        found = []
        for number, device in enumerate(devices, 1):
            name = f"{prefix}/{_file_name(kind, number)}"
            part = scaled(progress, 100 * (number - 1) // len(devices), 100 * number // len(devices))
            local = self._local_dir / device.file_name
            try:
                with local.open("rb") as file:
                    found.append(self._upload(file, name, attempt, part))
            except FileNotFoundError:
                found.append(self._uploaded_before(local, name))
            local.unlink(missing_ok=True)
        return found

    def discard(self, devices: Devices) -> None:
        """Remove the files, whose names nobody else has used."""
        for device in devices:
            (self._local_dir / device.file_name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lend(self, files: Sequence[BlobRef], progress: Progress) -> Iterator[list[Disk]]:
        """Download each blob into the folder, verified; the files are removed at the end."""
        add = bytes_of(progress, sum(ref.size for ref in files))
        lent: list[Disk] = []
        try:
            for ref in files:
                lent.append(self._file(f"octopus-restore-{self._new_id()}.bak"))
                with (self._local_dir / lent[-1].file_name).open("xb") as file:
                    for piece in download.read(self._storage, ref):
                        file.write(piece)
                        add(len(piece))
            yield lent
        finally:
            for disk in lent:
                (self._local_dir / disk.file_name).unlink(missing_ok=True)

    def _file(self, name: str) -> Disk:
        return Disk(f"{self._server_dir}{self._separator}{name}")

    def _upload(self, file: BinaryIO, name: str, attempt: str, progress: Progress) -> BlobRef:
        size = os.fstat(file.fileno()).st_size
        add = bytes_of(progress, size)

        def pieces() -> Iterator[bytes]:
            while piece := file.read(_PIECE):
                yield piece
                add(len(piece))

        ref = upload.upload(self._storage, DATA, name, pieces(), attempt=attempt, size_hint=size)
        if ref.size != size or os.fstat(file.fileno()).st_size != size:
            raise IntegrityError(
                f"{ref.size} bytes of {file.name} arrived in Blob Storage, but the file had {size}.",
                "The file changed while it was read; it is left where it is.",
            )
        return ref

    def _uploaded_before(self, local: Path, name: str) -> BlobRef:
        """The file is gone: an earlier try has uploaded it, whole or not at all, but did not commit."""
        try:
            ref = copy.reference(self._storage, DATA, name)
        except IntegrityError:
            raise StoreError(
                f"SQL Server wrote {local.name}, but it is not in SQLSERVER_BACKUP_DIR_LOCAL.",
                "SQLSERVER_BACKUP_DIR and SQLSERVER_BACKUP_DIR_LOCAL have to be the same folder, seen from "
                "SQL Server and from here; and nothing else may clean it up before a day is over.",
                code="backup_file_missing",
            ) from None
        digest = hashlib.sha256()
        for piece in download.read(self._storage, ref):
            digest.update(piece)
        return ref.model_copy(update={"sha256": digest.hexdigest()})


class UrlMedium:
    """SQL Server talks to Blob Storage by itself, with the credential that it has for the container.

    Args:
        storage: where backups go.
        new_id: makes blob names that were never used before; an attempt that was broken off leaves its blob.
        container: where SQL Server writes. ``data`` where the server can write into an immutable container
            (2025 and later); else ``landing``, from which a server-side copy into ``data`` precedes the
            manifest. What stays in ``landing`` is removed by its lifecycle rule, not by us: until the
            manifest is committed it may be the only copy.
    """

    name: Literal["url"] = "url"

    def __init__(self, storage: Storage, new_id: NewId, container: str) -> None:
        self._storage = storage
        self._new_id = new_id
        self._container = container

    def devices(self, prefix: str, kind: Kind, size: int) -> list[Url]:
        """As many new blobs as the size needs.

        The names in ``landing`` are short: with a hostile database name the final ones can be longer than the
        259 characters that SQL Server takes.
        """
        once = self._new_id()
        folder = prefix if self._container == DATA else once
        names = [
            f"{folder}/{_file_name(kind, number, once if self._container == DATA else '')}"
            for number in range(1, stripes(size) + 1)
        ]
        return [Url(self._storage.address(self._container, name)) for name in names]

    def again(self, physical_names: Sequence[str]) -> list[Url]:
        """The blobs of a backup that exists."""
        return [Url(name) for name in physical_names]

    def collect(
        self, devices: Devices, prefix: str, kind: Kind, attempt: str, progress: Progress
    ) -> list[BlobRef]:
        """Take each blob as it is in ``data``, or copy it there inside Blob Storage."""
        found = []
        for number, device in enumerate(devices, 1):
            if self._container == DATA:
                ref = copy.reference(self._storage, DATA, f"{prefix}/{device.file_name}")
            else:
                source = "/".join(str(device).rsplit("/", 2)[-2:])
                name = f"{prefix}/{_file_name(kind, number)}"
                ref = copy.copy(self._storage, LANDING, source, DATA, name, attempt=attempt)
            found.append(ref)
            progress(100 * number // len(devices))
        return found

    def discard(self, devices: Devices) -> None:
        """Nothing: no manifest names the blobs, so nothing reads them, and their lifecycle rule ends them."""

    @contextlib.contextmanager
    def lend(self, files: Sequence[BlobRef], progress: Progress) -> Iterator[list[Url]]:
        """The blobs themselves, once size and ETag are as they were committed."""
        for ref in files:
            check_unchanged(self._storage, ref)
        progress(100)
        yield [Url(self._storage.address(ref.container, ref.name)) for ref in files]


def check_unchanged(storage: Storage, ref: BlobRef) -> None:
    """Compare a blob's size and ETag with what was committed.

    Raises:
        IntegrityError: it is gone, or is not what was committed.
    """
    try:
        now = copy.reference(storage, ref.container, ref.name)
    except IntegrityError:
        raise IntegrityError(
            f"The blob {ref.container}/{ref.name} of this backup is gone.",
            "Look whether it can be undeleted (soft delete); plan the restore again without this backup.",
            code="blob_gone",
        ) from None
    if (now.size, now.etag) != (ref.size, ref.etag):
        raise IntegrityError(
            f"The blob {ref.container}/{ref.name} is not what was committed: {now.size} bytes, ETag "
            f"{now.etag}; it was {ref.size} bytes, ETag {ref.etag}.",
            "Look for an earlier version of it; plan the restore again without this backup.",
            code="blob_changed",
        )


def stripes(size: int) -> int:
    """How many blobs a backup of ``size`` bytes is spread over."""
    return max(1, min(_MOST_STRIPES, -(-size // _STRIPE_BYTES)))


def _file_name(kind: Kind, number: int, once: str = "") -> str:
    return "-".join(filter(None, (kind.value, once, f"{number:02}"))) + f".{_SUFFIXES[kind]}"
