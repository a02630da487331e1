"""Whether the files of a backup are all there, and the very ones that were committed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.model.backups import BlobRef

_NUMBER = re.compile(r"-(\d{2,})\.[a-z]+$")
"""The number of a stripe at the end of its name; SQL Server wants all of a set (message 3132)."""


class Seen(NamedTuple):
    """A blob as it is now: its bytes, its ETag, and its access tier where the account has tiers."""

    size: int
    etag: str
    tier: str | None


def lost(files: Sequence[BlobRef], there: Mapping[str, Seen]) -> tuple[str, ...]:
    """The files, as ``container/name``, that are gone or were written anew."""
    found = []
    for file in files:
        name = f"{file.container}/{file.name}"
        now = there.get(name)
        if now is None or (now.size, now.etag) != (file.size, file.etag):
            found.append(name)
    return tuple(found)


def flaw(files: Sequence[BlobRef], there: Mapping[str, Seen]) -> str | None:
    """Why a SQL Server backup cannot be restored from its files; None if it can.

    Args:
        files: the stripes that its manifest names.
        there: the blobs that are there now, by ``container/name``.
    """
    if not files:
        return "its manifest names no file"
    missing = list(_missing_numbers(files))
    if missing:
        return f"its manifest lacks stripe {', '.join(map(str, missing))}"
    gone = lost(files, there)
    if gone:
        whole = f" of {len(files)}" if len(files) > 1 else ""
        return f"{len(gone)}{whole} file(s) of it are gone or were written anew, such as {gone[0]}"
    return None


def _missing_numbers(files: Sequence[BlobRef]) -> Iterator[int]:
    found = [_NUMBER.search(file.name) for file in files]
    numbers = {int(match[1]) for match in found if match}
    if len(numbers) == len(files):  # else they were named by somebody else
        yield from (number for number in range(1, max(numbers)) if number not in numbers)
