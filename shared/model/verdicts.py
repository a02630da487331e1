"""What a person says about an item of the recovery checklist, beside what the machine found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.model.base import Document, Request, UtcTime
from shared.model.plans import PersonName

Reason = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$"
    ),
]
"""Why somebody says so, in words; line breaks and tabs are allowed."""


class VerdictRequest(Request):
    """A person's verdict on one item."""

    item: int = Field(ge=1, le=5, description="number in the product's recovery checklist")
    verdict: Literal["passed", "failed"]
    by: PersonName = Field(description="who says so")
    reason: Reason


class Verdict(Document):
    """A verdict as it is kept: written once, beside the report, which it does not change."""

    schema_: Literal[1] = Field(1, alias="schema")
    id: str = Field(description="ULID")
    run_id: str
    attempt: int = Field(description="the attempt at the run that had ended when it was given")
    item: int
    verdict: Literal["passed", "failed"]
    by: str
    reason: str
    at: UtcTime
    via: Literal["http", "command line"] = Field(
        description="where it was given; a function key names nobody"
    )
