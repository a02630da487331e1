"""Break glass: the scripts that lie beside a recovery point and restore it with none of our software."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from shared.reporting.break_glass_facts import (
    LONGEST_URL,
    Glass,
    GlassBackup,
    GlassCollection,
    GlassDatabase,
    GlassFile,
    GlassSnapshot,
)
from shared.reporting.break_glass_shell import restore_sh
from shared.reporting.break_glass_sql import restore_sql

__all__ = [
    "LONGEST_URL",
    "SCRIPTS",
    "Glass",
    "GlassBackup",
    "GlassCollection",
    "GlassDatabase",
    "GlassFile",
    "GlassSnapshot",
    "restore_sh",
    "restore_sql",
]

SCRIPTS: Final[Mapping[str, Callable[[Glass], str]]] = {"restore.sql": restore_sql, "restore.sh": restore_sh}
"""Every script by its file name."""
