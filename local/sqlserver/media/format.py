"""The format of a backup: one media set over one or more devices ("families").

A device holds: the magic, a header block, data blocks, a trailer block, a footer. A block is its kind, its
number in the whole set, its length and CRC-32, and the payload. Data blocks go to the devices in turn,
so that every device is needed. What is known only at the end (the last LSN) is in the trailer,
which every device carries; the footer tells where the trailer begins. A device without a trailer was not
finished.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.engine.log import Record
from local.sqlserver.media.devices import Source, Target

MAGIC = b"STANDIN-SQL-BAK1"
FOOTER_MAGIC = b"END1"
HEADER, CONTENT, TRAILER = b"H", b"P", b"T"
PAGES, RECORD = b"D", b"R"
_BLOCK = struct.Struct("<cIII")
_FOOTER = struct.Struct("<I4s")
_TAIL_BYTES = 1 << 16
CHUNK_BYTES = 1 << 18

type Facts = dict[str, Any]


def encode_record(record: Record) -> bytes:
    """A log record as the payload of a data block."""
    head = [record.lsn, record.next_lsn, record.time, record.fork, record.mark, record.description]
    return json.dumps(head).encode() + b"\0" + record.body


def decode_record(payload: bytes) -> Record:
    """The record that ``encode_record`` wrote."""
    head, _, body = payload.partition(b"\0")
    lsn, next_lsn, time, fork, mark, description = json.loads(head)
    return Record(lsn, next_lsn, time, fork, mark, description, body)


class MediaWriter:
    """Writes a media set."""

    def __init__(self, targets: Sequence[Target], facts: Facts, *, compress: bool) -> None:
        self._targets = targets
        self._compress = compress
        self._number = 0
        self.raw_bytes = 0
        self.written_bytes = 0
        for family, target in enumerate(targets, start=1):
            self._send(target, MAGIC)
            header = {**facts, "family": family, "families": len(targets), "compressed": compress}
            self._block(target, HEADER, 0, json.dumps(header).encode())

    def _send(self, target: Target, data: bytes) -> None:
        target.write(data)
        self.written_bytes += len(data)

    def _block(self, target: Target, kind: bytes, number: int, payload: bytes) -> None:
        self._send(target, _BLOCK.pack(kind, number, len(payload), zlib.crc32(payload)) + payload)

    def add(self, kind: bytes, payload: bytes) -> None:
        """Write data: pages of the data file, or a log record."""
        self.raw_bytes += len(payload)
        content = zlib.compress(payload, 1) if self._compress else payload
        self._number += 1
        target = self._targets[self._number % len(self._targets)]
        self._block(target, CONTENT, self._number, kind + content)

    def finish(self, facts: Facts) -> None:
        """Write the trailers and close the devices: the backup is complete."""
        payload = json.dumps({**facts, "blocks": self._number}).encode()
        for target in self._targets:
            self._block(target, TRAILER, self._number + 1, payload)
            self._send(target, _FOOTER.pack(len(payload) + _BLOCK.size, FOOTER_MAGIC))
        for target in self._targets:
            target.close()

    def abandon(self) -> None:
        """Stop: the devices stay without a trailer."""
        for target in self._targets:
            target.abandon()


class FamilyReader:
    """Reads one device."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self._source = source
        self.facts = self._read_facts()

    def _read_facts(self) -> Facts:
        """Header and trailer.

        Raises:
            SqlError: 3241 not a backup, 3256 not finished.
        """
        header = self._header()
        tail = self._source.tail(_TAIL_BYTES)
        if len(tail) < _FOOTER.size:
            raise SqlError(3241, self.name)
        size, magic = _FOOTER.unpack(tail[-_FOOTER.size :])
        if magic != FOOTER_MAGIC or size + _FOOTER.size > len(tail):
            raise SqlError(3256, self.name)
        block = tail[-size - _FOOTER.size : -_FOOTER.size]
        kind, _, length, crc = _BLOCK.unpack_from(block)
        payload = block[_BLOCK.size :]
        if kind != TRAILER or length != len(payload) or crc != zlib.crc32(payload):
            raise SqlError(3241, self.name)
        return {**header, **json.loads(payload)}

    def _header(self) -> Facts:
        for kind, _, payload in self._blocks(only_header=True):
            if kind == HEADER:
                header: Facts = json.loads(payload)
                return header
        raise SqlError(3241, self.name)

    def _blocks(self, *, only_header: bool = False) -> Iterator[tuple[bytes, int, bytes]]:
        """Every block: kind, number, payload; the checks are made on the way."""
        reader = _Stream(self._source.stream())
        if reader.take(len(MAGIC)) != MAGIC:
            raise SqlError(3241, self.name)
        while True:
            raw = reader.take(_BLOCK.size)
            if len(raw) < _BLOCK.size:
                raise SqlError(3241 if only_header else 3256, self.name)
            kind, number, length, crc = _BLOCK.unpack(raw)
            if kind not in (HEADER, CONTENT, TRAILER):
                raise SqlError(3241, self.name) if only_header else SqlError(3189)
            payload = reader.take(length)
            if len(payload) < length:
                raise SqlError(3241 if only_header else 3256, self.name)
            if zlib.crc32(payload) != crc:
                raise self._damaged(kind, number)
            yield kind, number, payload
            if kind == TRAILER or only_header:
                return

    def _damaged(self, kind: bytes, number: int) -> SqlError:
        if kind != CONTENT:
            return SqlError(3241, self.name)
        facts = getattr(self, "facts", {})
        if facts.get("checksums"):
            return SqlError(3183, 1, number * 32, facts["database_name"])
        return SqlError(3189)

    def content(self) -> Iterator[tuple[int, bytes, bytes]]:
        """The data blocks: number in the set, kind of data, data."""
        for kind, number, payload in self._blocks():
            if kind == CONTENT:
                data = payload[1:]
                yield number, payload[:1], zlib.decompress(data) if self.facts["compressed"] else data


class MediaReader:
    """Reads a media set: all of its devices together."""

    def __init__(self, families: Sequence[FamilyReader]) -> None:
        self._families = families
        self.facts = families[0].facts
        for family in families[1:]:
            if family.facts["media_guid"] != self.facts["media_guid"]:
                raise SqlError(3258, family.name)
        given = {family.facts["family"] for family in families}
        if len(given) < self.facts["families"]:
            raise SqlError(3132, self.facts["families"], len(given))

    def content(self) -> Iterator[tuple[bytes, bytes]]:
        """The data in the order in which it was written.

        Raises:
            SqlError: 3183, 3189, 3241 or 3256, damage.
        """
        streams = {f.facts["family"]: f.content() for f in self._families}
        for expected in range(1, self.facts["blocks"] + 1):
            family = expected % len(streams) + 1
            found = next(streams[family], None)
            if found is None or found[0] != expected:
                raise SqlError(3189)
            yield found[1], found[2]
        for stream in streams.values():
            if next(stream, None) is not None:
                raise SqlError(3189)


class _Stream:
    """Takes exact sizes from pieces of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    def take(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer += chunk
        out = bytes(self._buffer[:size])
        del self._buffer[:size]
        return out
