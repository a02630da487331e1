"""What callers may ask for, besides restores."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.model.backups import Kind
from shared.model.base import Request

PointName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
"""A person's name for a recovery point. It goes into the mark's description, which holds 128 characters."""


class BackupRequest(Request):
    """A backup of SQL Server, outside the schedule."""

    kind: Literal[Kind.FULL, Kind.DIFFERENTIAL, Kind.LOG]
    databases: tuple[str, ...] = Field((), description="all of SQLSERVER_DATABASES if empty")


class PointRequest(Request):
    """A recovery point, outside the schedule."""

    name: PointName | None = None
    pinned: bool = Field(False, description="kept whatever the retention says")


class PinRequest(Request):
    """Keep a recovery point whatever the retention says, or leave it to the retention again."""

    pinned: bool
