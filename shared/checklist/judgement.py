"""What a judge hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.model.backups import Count, Quality

MOST_TOLD = 10
"""Mismatches that an error's message names: a restore to the wrong place can have thousands."""


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on.

    ``evidence`` is plain JSON data; ``mismatches`` are sentences, empty if and only if it passed; ``notes``
    say what could not be judged, so that a pass is not read as more than it is.
    """

    evidence: Mapping[str, Any]
    mismatches: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing was found that differs."""
        return not self.mismatches

    def also(self, other: Judgement) -> Judgement:
        """Both as one: it passes if both do."""
        evidence = {**self.evidence, **other.evidence}
        return Judgement(evidence, self.mismatches + other.mismatches, self.notes + other.notes)

    @property
    def summary(self) -> str:
        """What differs, in a few sentences; the evidence holds all of them."""
        more = len(self.mismatches) - MOST_TOLD
        rest = [f"And {more} more; the step's evidence has them all."] if more > 0 else []
        return " ".join([*self.mismatches[:MOST_TOLD], *rest])

    def as_json(self) -> dict[str, Any]:
        """The judgement as a step's evidence."""
        return {
            "passed": self.passed,
            **self.evidence,
            "mismatches": list(self.mismatches),
            "notes": list(self.notes),
        }


def differs(what: str, expected: Count, found: Count | None) -> str | None:
    """How a restored count disagrees with the recovery point's; None if it does not.

    Only an exact or a reference count may be demanded equal; an approximate one only has to lie in its
    interval, an end of which may be open.
    """
    if found is None:
        return f"{what} is missing; it had {expected.value} at the recovery point."
    if expected.quality is not Quality.APPROXIMATE:
        if found.value == expected.value:
            return None
        return f"{what} has {found.value}, and had {expected.value} at the recovery point."
    too_few = expected.low is not None and found.value < expected.low
    too_many = expected.high is not None and found.value > expected.high
    if not too_few and not too_many:
        return None
    return (
        f"{what} has {found.value}, and had between {expected.low} and {expected.high} at the recovery point."
    )
