"""What a restore needs of the server: a version that is not older, and free space."""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.errors import RefusedError

STREAMS_SINCE = (1, 19)
"""From here on a snapshot fetched from a URL is unpacked while it arrives; before, it is stored whole first
(measured: 1.19.0 unpacks, 1.16.3 stores; versions between were not measured and count as the older)."""


def number(version: str) -> tuple[int, int]:
    """Major and minor of a server version such as ``1.19.0`` or ``1.20.0-dev``; (0, 0) if it is none."""
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def demand_not_older(target: str, sources: Iterable[str]) -> None:
    """Demand that the server is at least of the minor version of those that made the snapshots.

    Qdrant 1.19.0 restores what 1.16.3 made. The reverse answers 500 and destroys the collection (measured).

    Raises:
        RefusedError: it is older.
    """
    newest = max(sources, key=number, default="")
    if number(target) < number(newest):
        raise RefusedError(
            f"The snapshots were made by Qdrant {newest}, but the server runs {target}.",
            "An older server can destroy the collection while recovering it. Upgrade it, then repeat.",
            code="version_too_old",
        )


def space_needed(size: int, version: str, by_upload: bool, safety: bool) -> int:
    """Free bytes that a peer needs to recover a snapshot, on top of everything that is there.

    Measured with 1.1 GB on Qdrant 1.16.3 and 1.19.0: the storage volume takes one and a half times the tar
    while it is recovered; a tar that is stored first (by upload, and by URL on older servers) once more; the
    safety snapshot of what is overwritten about once.

    Args:
        size: of the snapshot's tar, in bytes.
        version: of the server that restores.
        by_upload: whether the tar is uploaded rather than fetched by the server.
        safety: whether a collection is overwritten.

    Returns:
        Bytes. There is no safe failure: a volume that fills up during a recovery kills the server.
    """
    stored_first = by_upload or number(version) < STREAMS_SINCE
    return -(-size * (25 if stored_first else 15) // 10) + (size if safety else 0)
