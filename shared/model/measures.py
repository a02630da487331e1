"""How long the steps of restores took: what expected durations rest on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.model.backups import Kind
from shared.model.base import Document, UtcTime


class Measure(Document):
    """One step that succeeded."""

    step_kind: str
    backup_kind: Kind | None = Field(None, description="of a step that restores a backup of SQL Server")
    size: int = Field(ge=0, description="bytes that it worked on; 0 where that does not matter")
    seconds: float = Field(ge=0)


class Measures(Document):
    """The steps of one run, those of a kind in a sample where there were many."""

    schema_: Literal[1] = Field(1, alias="schema")
    run_id: str
    measured_at: UtcTime
    steps: tuple[Measure, ...]
