"""Download of a snapshot file, with the rules of the real server about ranges, validators and compression."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from local.qdrant.answers import VARY

CHUNK = 256 * 1024
GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Span:
    """The bytes of a file from ``first`` to before ``end``."""

    first: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes they are."""
        return self.end - self.first


def _disposition(name: str) -> str:
    """As actix-files writes it: the name's own bytes, and once more encoded where they are not ASCII."""
    plain = f'attachment; filename="{name}"'
    encoded = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe='')}"
    return (plain + encoded).encode().decode("latin-1")  # header values are sent as Latin-1, byte for byte


def download(file: Path, headers: Mapping[str, str], cut_after: int | None = None) -> Response:
    """Answer a request for a file.

    ``If-Range`` is ignored; of several ranges only the first is sent; a ranged answer is never compressed.

    Args:
        file: the snapshot.
        headers: of the request, with names in lower case.
        cut_after: break off after so many bytes (a fault ordered by a test).
    """
    facts = file.stat()
    size = facts.st_size
    seconds, nanos = divmod(facts.st_mtime_ns, 10**9)
    etag = f'"{facts.st_ino:x}:{size:x}:{seconds:x}:{nanos:x}"'
    common = {
        "content-type": "application/octet-stream",
        "content-disposition": _disposition(file.name),
        "etag": etag,
        "last-modified": formatdate(seconds, usegmt=True),
        "accept-ranges": "bytes",
    }
    ranged = "range" in headers
    span = requested(headers["range"], size) if ranged else Span(0, size)
    if span is None:
        return Response(b"", 416, {**common, "vary": VARY, "content-range": f"bytes */{size}"})
    if ranged:
        common |= {
            "content-encoding": "identity",
            "content-range": f"bytes {span.first}-{span.end - 1}/{size}",
        }
    if "if-match" in headers and not _names(headers["if-match"], etag):
        return Response(b"", 412, {**common, "vary": VARY})
    if "if-none-match" in headers and _names(headers["if-none-match"], etag):
        return Response(None, 304, common)
    if not ranged and "gzip" in headers.get("accept-encoding", ""):
        common |= {"content-encoding": "gzip", "vary": f"accept-encoding, {VARY}"}
        return StreamingResponse(_cut(_zipped(_pieces(file, span)), cut_after), 200, common)
    common |= {"content-length": str(span.length), "vary": VARY}
    return StreamingResponse(_cut(_pieces(file, span), cut_after), 206 if ranged else 200, common)


def requested(header: str, size: int) -> Span | None:
    """The first range of a ``Range`` header that the file can satisfy; None when there is none."""
    unit, _, ranges = header.partition("=")
    if unit.strip() != "bytes":
        return None
    for given in ranges.split(","):
        first, dash, last = given.strip().partition("-")
        if not dash or not (first + last).isdigit():
            return None
        if not first:
            return Span(max(0, size - int(last)), size) if int(last) else None
        if int(first) < size:
            return Span(int(first), min(size, int(last) + 1 if last else size))
    return None


def _names(header: str, etag: str) -> bool:
    return any(one.strip() in ("*", etag) for one in header.split(","))


def _pieces(file: Path, span: Span) -> Iterator[bytes]:
    left = span.length
    with file.open("rb") as stream:
        stream.seek(span.first)
        while left and (piece := stream.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece


def _zipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    zipper = zlib.compressobj(wbits=GZIP)
    for piece in pieces:
        yield zipper.compress(piece)
    yield zipper.flush()


def _cut(pieces: Iterator[bytes], after: int | None) -> Iterator[bytes]:
    """The pieces, up to ``after`` bytes; then the connection breaks."""
    left = after
    for piece in pieces:
        if left is not None and len(piece) > left:
            yield piece[:left]
            raise ConnectionAbortedError(f"This download was ordered to break off after {after} bytes.")
        left = None if left is None else left - len(piece)
        yield piece
