"""What a restore needs of the server: a version that is not older."""

from __future__ import annotations

from collections.abc import Collection

from shared.errors import RefusedError
from shared.planning.versions import number, older


def demand_not_older(target: str, sources: Collection[str]) -> None:
    """Demand that the server is at least of the minor version of those that made the snapshots.

    Raises:
        RefusedError: it is older.
    """
    if older(target, sources):
        newest = max(sources, key=number)
        raise RefusedError(
            f"The snapshots were made by Qdrant {newest}, but the server runs {target}.",
            "An older server can destroy the collection while recovering it. Upgrade it, then repeat.",
            code="version_too_old",
        )
