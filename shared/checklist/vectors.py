"""Step 3 of the product's checklist: all vector collections together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from shared.checklist.judgement import Judgement, differs
from shared.model.backups import Count, Quality

_TOLD = 20
"""Sentences about single collections that a judgement holds at most."""


@dataclass(frozen=True)
class RestoredCollection:
    """A restored collection as every peer sees it; each mapping is by the peer's address.

    ``missing`` are the peers that do not know it. ``optimizers`` are ``ok`` or say what is wrong.
    """

    name: str
    missing: tuple[str, ...]
    counts: Mapping[str, int]
    statuses: Mapping[str, str]
    optimizers: Mapping[str, str]


def judge_vectors(
    expected: Mapping[str, Count],
    found: Mapping[str, RestoredCollection],
    expected_aliases: Mapping[str, str],
    aliases: Mapping[str, str],
) -> Judgement:
    """Whether all collections are there, each with its points, and every alias stands for its collection.

    A collection that is not green but yellow or grey is whole, only slower; it is told and does not fail.

    Args:
        expected: points of each restored collection, as the snapshots' metadata have them.
        found: what every peer says now.
        expected_aliases: alias → collection, those of the plan.
        aliases: alias → collection, all that are there.
    """
    problems: list[str] = []
    restored = [one for name in expected if (one := found.get(name)) and one.counts and not one.missing]
    if len(restored) != len(expected):
        absent = sorted(set(expected) - {one.name for one in restored})
        problems.append(
            f"{len(restored)} of {len(expected)} collections are there on every peer; "
            f"missing: {', '.join(absent[:_TOLD])}."
        )
    for one in restored:
        problems += _problems(one, expected[one.name])
    for alias, collection in sorted(expected_aliases.items()):
        if aliases.get(alias) != collection:
            stands = f"stands for {aliases[alias]!r}" if alias in aliases else "is missing"
            problems.append(f"The alias {alias!r} {stands}; it should stand for {collection!r}.")
    statuses = Counter(status for one in restored for status in one.statuses.values())
    waiting = sorted(one.name for one in restored if set(one.statuses.values()) - {"green", "red"})
    evidence = {
        "collections": {"expected": len(expected), "restored": len(restored)},
        "points": {
            "expected": sum(count.value for count in expected.values()),
            "counted": sum(max(one.counts.values()) for one in restored),
        },
        "aliases": {
            "expected": len(expected_aliases),
            "right": sum(aliases.get(alias) == name for alias, name in expected_aliases.items()),
        },
        "statuses": dict(statuses),
        "peers": sorted({url for one in restored for url in one.counts}),
    }
    notes = _notes(expected, waiting)
    more = len(problems) - _TOLD
    told = problems[:_TOLD] + ([f"{more} more problem(s)."] if more > 0 else [])
    return Judgement(evidence, tuple(told), notes)


def _problems(one: RestoredCollection, expected: Count) -> list[str]:
    problems = []
    for url, number in one.counts.items():
        wrong = differs(
            f"{one.name!r}, counted by {url},", expected, Count(value=number, quality=Quality.EXACT)
        )
        problems += [wrong] if wrong else []
    if len(set(one.counts.values())) > 1:
        problems.append(f"The peers count {one.name!r} differently: {dict(one.counts)}.")
    problems += [f"{one.name!r} is red on {url}." for url, status in one.statuses.items() if status == "red"]
    problems += [
        f"The optimizer of {one.name!r} on {url} has failed: {what[:200]}"
        for url, what in one.optimizers.items()
        if what != "ok"
    ]
    return problems


def _notes(expected: Mapping[str, Count], waiting: list[str]) -> tuple[str, ...]:
    notes = []
    if waiting:
        shown = ", ".join(waiting[:5]) + (" …" if len(waiting) > 5 else "")
        notes.append(f"{len(waiting)} collection(s) are whole but not green yet: {shown}.")
    weak = sum(count.quality is Quality.APPROXIMATE for count in expected.values())
    if weak:
        notes.append(f"{weak} of {len(expected)} counts were compared with an interval only.")
    return tuple(notes)
