"""Drills: what is asked for, and what a drill learns of the recovery point that it restored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.model.base import Document, Request, UtcTime


class DrillRequest(Request):
    """A drill, outside the schedule."""

    recovery_point: str | None = Field(None, description="id or name; the newest complete one if left out")


class Reference(Document):
    """The rows of a recovery point, counted in a restored copy that its marker row proves to be it."""

    schema_: Literal[1] = Field(1, alias="schema")
    point_id: str
    run_id: str
    counted_at: UtcTime
    databases: dict[str, dict[str, int]] = Field(description="database → schema.table → rows")
