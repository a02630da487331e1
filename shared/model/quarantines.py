"""What is asked for when a collection that nobody knows is put aside."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.model.base import Document, Request

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$"),
]


class QuarantineRequest(Request):
    """A collection is to be copied under another name, and then deleted."""

    collection: str = Field(min_length=1, max_length=255)
    force: Reason | None = Field(
        None, description="why it is put aside although an agent may work with it; then no agent hinders"
    )


class Quarantine(Document):
    """What would be done, to be read by a person before it is."""

    collection: str
    copy_name: str = Field(description="the collection that holds its points afterwards")
    agent: str | None = Field(description="the agent that it belongs to by its name")
    points: int
    known_in: tuple[str, ...] = Field(description="databases that know that agent")
    force: str | None = None
