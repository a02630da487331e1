"""A look at the environment as it is: the checklist without a restore."""

from __future__ import annotations

from pydantic import Field

from shared.model.base import Request


class CheckRequest(Request):
    """What a person asks for."""

    from_step: int = Field(1, ge=1, le=5, description="number in the recovery checklist to begin with")
    recovery_point: str | None = Field(
        None, description="id or name of the point to compare with; the newest complete one if left out"
    )
    checkdb: bool = Field(False, description="whether DBCC CHECKDB is run, which reads whole databases")
