"""Backup devices: a file on disk, or a block blob that is reached by URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from local.sqlserver.engine.errors import SqlError, os_error
from local.sqlserver.media.blob import BlobSource, BlobTarget

DISK_TYPE, URL_TYPE = 2, 9
READ_BYTES = 1 << 20
SAS_IDENTITY = "SHARED ACCESS SIGNATURE"


class Target(Protocol):
    """A device that is being written."""

    def write(self, data: bytes) -> None:
        """Write on."""
        ...

    def close(self) -> None:
        """Everything was written."""
        ...

    def abandon(self) -> None:
        """The backup failed; what was written so far stays as the device leaves it."""
        ...


class Source(Protocol):
    """A device that is being read."""

    def size(self) -> int:
        """Its length in bytes."""
        ...

    def tail(self, size: int) -> bytes:
        """Its last bytes."""
        ...

    def stream(self) -> Iterator[bytes]:
        """All of it, in pieces."""
        ...


class DiskTarget:
    """A file; a failed backup leaves what was written."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise SqlError(3201, path, os_error(error)) from error

    def write(self, data: bytes) -> None:
        """Write on."""
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise SqlError(3202, self._name, os_error(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file; it stays."""
        self._file.close()


class DiskSource:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise SqlError(3201, path, os_error(error)) from error

    def size(self) -> int:
        """Its length."""
        return self._path.stat().st_size

    def tail(self, size: int) -> bytes:
        """Its last bytes."""
        with self._path.open("rb") as file:
            file.seek(max(0, self.size() - size))
            return file.read()

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(READ_BYTES):
                    yield chunk
        except OSError as error:
            raise SqlError(3203, self._path, os_error(error)) from error


class Devices:
    """Opens devices, with the server's credentials."""

    def __init__(self, credentials: dict[str, dict[str, Any]], folder: Path) -> None:
        self._credentials = credentials
        self._folder = folder

    def address(self, kind: str, address: str) -> str:
        """The device's full address.

        Raises:
            SqlError: 3297, a URL that is not absolute https or holds a query string.
        """
        if kind == "DISK":
            path = Path(address)
            return str(path if path.is_absolute() else self._folder / path)
        parts = urlsplit(address)
        if parts.scheme.lower() != "https" or not parts.netloc or parts.query or "?" in address:
            raise SqlError(3297)
        return address

    def exists(self, kind: str, address: str) -> bool:
        """Whether something is there already."""
        if kind == "DISK":
            return Path(address).exists()
        return self._blob_source(address).exists()

    def create(self, kind: str, address: str) -> Target:
        """Open a device for writing."""
        if kind == "DISK":
            return DiskTarget(Path(address))
        return BlobTarget(address, self._secret(address))

    def open(self, kind: str, address: str) -> Source:
        """Open a device for reading.

        Raises:
            SqlError: 3201, it cannot be opened.
        """
        if kind == "DISK":
            return DiskSource(Path(address))
        source = self._blob_source(address)
        if not source.exists():
            raise SqlError(3201, address, "2(The system cannot find the file specified.)")
        return source

    def _blob_source(self, address: str) -> BlobSource:
        return BlobSource(address, self._secret(address))

    def _secret(self, address: str) -> str:
        """The shared access signature for a URL: that of the longest credential whose name begins it.

        Raises:
            SqlError: 3201, no credential fits.
        """
        fitting = [
            name
            for name, credential in self._credentials.items()
            if address.casefold().startswith(name.rstrip("/").casefold() + "/")
            and credential["identity"].upper() == SAS_IDENTITY
        ]
        if not fitting:
            raise SqlError(3201, address, "50(The request is not supported.)")
        return str(self._credentials[max(fitting, key=len)]["secret"])
