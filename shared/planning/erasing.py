"""The list of users whose rows are deleted again after a restore: kept apart, known by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def erased_users(asked: Iterable[str]) -> tuple[str, ...]:
    """The ids, each once, sorted: the list as it is kept with a plan."""
    return tuple(sorted(set(asked)))


def list_sha256(users: Iterable[str]) -> str:
    """SHA-256, in hex, over the canonical JSON (compact, ASCII) of a list of ids in its order."""
    return hashlib.sha256(json.dumps(list(users), separators=(",", ":")).encode()).hexdigest()
