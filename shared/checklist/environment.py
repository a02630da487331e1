"""Step 3 of the product's checklist where nothing was restored: the collections that are in service."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from shared.checklist.judgement import Judgement
from shared.checklist.vectors import RestoredCollection
from shared.model.backups import Count

_TOLD = 20
"""Sentences about single collections that a judgement holds at most."""


def judge_live_collections(
    expected: Mapping[str, Count], needed: Collection[str], found: Mapping[str, RestoredCollection]
) -> Judgement:
    """Whether the collections in service are there on every peer, whole, and hold something.

    Octopus has worked on since the recovery point, so points may be more or fewer. But a collection that held
    points and is empty now is what an API makes that was started before its vectors were there.

    Args:
        expected: points of each collection at the recovery point.
        needed: the collections of the point that must be there: those whose agent is known.
        found: what every peer says now, of every collection of the point and of every other that is there.
    """
    problems: list[str] = []
    for name in sorted(needed):
        one = found.get(name)
        if one is None or not one.counts:
            problems.append(
                f"{name!r} is missing; it had {expected[name].value} points at the recovery point."
            )
        elif not any(one.counts.values()) and _held_some(expected[name]):
            problems.append(f"{name!r} is empty; it had {expected[name].value} points at the recovery point.")
    there = {name: one for name, one in found.items() if one.counts}
    for name, one in sorted(there.items()):
        if one.missing:
            problems.append(f"{name!r} is not known to {', '.join(one.missing)}.")
        problems += [f"{name!r} is red on {url}." for url, is_ in one.statuses.items() if is_ == "red"]
        problems += [
            f"The optimizer of {name!r} on {url} has failed: {what[:200]}"
            for url, what in one.optimizers.items()
            if what != "ok"
        ]
    more = len(problems) - _TOLD
    told = problems[:_TOLD] + ([f"{more} more problem(s)."] if more > 0 else [])
    return Judgement(
        {"collections": _evidence(expected, found)}, tuple(told), _notes(expected, needed, there)
    )


def _held_some(count: Count) -> bool:
    return (count.value if count.low is None else count.low) > 0


def _evidence(expected: Mapping[str, Count], found: Mapping[str, RestoredCollection]) -> dict[str, Any]:
    return {
        name: {
            "expected": expected[name].value if name in expected else None,
            "quality": expected[name].quality.value if name in expected else None,
            "counted": dict(one.counts),
            "status": dict(one.statuses),
            "missing": list(one.missing),
        }
        for name, one in sorted(found.items())
    }


def _notes(
    expected: Mapping[str, Count], needed: Collection[str], there: Mapping[str, RestoredCollection]
) -> tuple[str, ...]:
    notes = ["Octopus has worked on since the recovery point, so counts are shown, not demanded equal."]
    if gone := sorted(set(expected) - set(needed) - set(there)):
        notes.append(f"{len(gone)} collection(s) of the point are gone with their agents: {_some(gone)}.")
    waiting = sorted(n for n, one in there.items() if set(one.statuses.values()) - {"green", "red"})
    if waiting:
        notes.append(f"{len(waiting)} collection(s) are whole but not green yet: {_some(waiting)}.")
    differ = sorted(name for name, one in there.items() if len(set(one.counts.values())) > 1)
    if differ:
        notes.append(
            f"Peers counted {len(differ)} collection(s) differently while they were asked: {_some(differ)}."
        )
    return tuple(notes)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
