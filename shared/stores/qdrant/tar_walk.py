"""A walk over the entry names of a snapshot's tar while its bytes pass by, in constant memory.

A collection snapshot is a GNU tar with one folder per shard of the collection, of which only the shards that
the peer held carry ``segments/`` and ``wal/``. Recovering a snapshot in which a shard's data is missing can
answer 200 and restore nothing (measured on Qdrant 1.16.3 and 1.19.0), so what is inside is looked at on the
way.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator

from shared.errors import IntegrityError
from shared.model.backups import ShardPart

BLOCK = 512
_SPARSE_HEADER_EXTENDED = 482  # byte of an old GNU sparse header that says whether an extension block follows
_SPARSE_EXTENSION_EXTENDED = 504  # the same in an extension block (GNU tar manual, "Basic Tar Format")
_LONGEST_NAME = 64 * 1024


class TarWalk:
    """Reads headers, skips contents. Feed it every byte in order, then ask for ``shards()``."""

    def __init__(self) -> None:
        self._skip = 0
        self._want = BLOCK
        self._held = bytearray()
        self._next: Callable[[bytes], None] = self._header
        self._contents = 0
        self._long_name: str | None = None
        self._ended = False
        self._segments: dict[int, set[str]] = {}
        self._with_wal: set[int] = set()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            IntegrityError: they are no tar.
        """
        view = memoryview(chunk)
        while view:
            if self._skip:
                passed = min(self._skip, len(view))
                self._skip -= passed
                view = view[passed:]
                continue
            missing = self._want - len(self._held)
            self._held += view[:missing]
            view = view[missing:]
            if len(self._held) == self._want:
                block, self._held, self._want = bytes(self._held), bytearray(), BLOCK
                self._next(block)

    def shards(self) -> tuple[ShardPart, ...]:
        """Every shard that the tar has a folder of, with the segments and the WAL that it holds of it.

        Raises:
            IntegrityError: the tar has not reached its end.
        """
        if not self._ended:
            raise IntegrityError(
                "The snapshot ends in the middle of its tar.",
                "It was cut short. Take or choose another backup.",
            )
        return tuple(
            ShardPart(shard_id=shard, segments=tuple(sorted(names)), has_wal=shard in self._with_wal)
            for shard, names in sorted(self._segments.items())
        )

    def _header(self, block: bytes) -> None:
        if self._ended or not any(block):
            self._ended = True  # zero blocks end a tar; padding may follow
            return
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise IntegrityError(
                f"The snapshot is not a readable tar: {error}.",
                "It is damaged. Take or choose another backup.",
            ) from None
        has_contents = entry.isreg() or entry.type not in tarfile.SUPPORTED_TYPES
        self._contents = -(-entry.size // BLOCK) * BLOCK if has_contents else 0
        if entry.type == tarfile.GNUTYPE_LONGNAME:
            self._expect_long_name(entry.size)
            return
        self._note(self._long_name or entry.name)
        self._long_name = None
        if entry.type == tarfile.GNUTYPE_SPARSE and block[_SPARSE_HEADER_EXTENDED]:
            self._next = self._sparse_extension
        else:
            self._skip = self._contents

    def _sparse_extension(self, block: bytes) -> None:
        if not block[_SPARSE_EXTENSION_EXTENDED]:
            self._next, self._skip = self._header, self._contents

    def _expect_long_name(self, size: int) -> None:
        if not 0 < size <= _LONGEST_NAME:
            raise IntegrityError(f"The snapshot's tar has a name of {size} bytes.", "It is damaged.")
        self._want, self._next = -(-size // BLOCK) * BLOCK, self._take_long_name

    def _take_long_name(self, data: bytes) -> None:
        self._long_name = data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        self._next = self._header

    def _note(self, name: str) -> None:
        shard, _, rest = name.removeprefix("./").partition("/")
        if not (shard.isascii() and shard.isdigit() and len(shard) <= 10):  # a shard id has 32 bits
            return
        segments = self._segments.setdefault(int(shard), set())
        folder, _, inner = rest.partition("/")
        if folder == "segments" and inner:
            segments.add(inner.split("/", 1)[0].removesuffix(".tar"))
        elif folder == "wal" and inner:
            self._with_wal.add(int(shard))


def walked(chunks: Iterable[bytes], walk: TarWalk) -> Iterator[bytes]:
    """The same chunks, with ``walk`` looking on."""
    for chunk in chunks:
        walk.feed(chunk)
        yield chunk


def demand(shards: Iterable[ShardPart], held: Iterable[int], what: str) -> None:
    """Demand that every shard in ``held`` is in the snapshot with its data.

    Args:
        shards: as ``TarWalk.shards`` gives them.
        held: ids of the shards that the peer held.
        what: the snapshot, for a person.

    Raises:
        IntegrityError: a shard has no segments or no WAL; the server would recover nothing of it.
    """
    found = {shard.shard_id: shard for shard in shards}
    for shard_id in sorted(held):
        shard = found.get(shard_id)
        lacking = [
            folder
            for folder, there in (
                ("segments/", shard is not None and bool(shard.segments)),
                ("wal/", shard is not None and shard.has_wal),
            )
            if not there
        ]
        if lacking:
            raise IntegrityError(
                f"{what} holds no {' and no '.join(lacking)} of shard {shard_id}.",
                "Recovering it would silently lose that shard. Take or choose another backup.",
                code="shard_missing_in_snapshot",
            )
