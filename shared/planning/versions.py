"""Qdrant's versions, as far as a restore depends on them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def number(version: str) -> tuple[int, int]:
    """Major and minor of a version such as ``1.19.0`` or ``1.20.0-dev``; (0, 0) if it is none."""
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def older(version: str, makers: Iterable[str]) -> bool:
    """Whether a server is of an older minor version than the newest of those that made the snapshots.

    Qdrant 1.19.0 restores what 1.16.3 made. The reverse answers 500 and destroys the collection (measured). A
    version that cannot be read counts as older.
    """
    return number(version) < max(map(number, makers), default=(0, 0))
