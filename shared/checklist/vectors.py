"""Step 3 of the product's checklist: the restored collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.checklist.judgement import Judgement, differs
from shared.model.backups import Count, Quality


@dataclass(frozen=True)
class FoundCollection:
    """A collection after the restore: exact points as every node counts them (by peer id), and its status.

    Every node is asked, because one node's exact count proves nothing: replicas can differ.
    """

    points: Mapping[str, int]
    status: str


def judge_collections(
    expected: Mapping[str, Count],
    found: Mapping[str, FoundCollection],
    expected_aliases: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Judgement:
    """Whether every collection holds what its snapshots held.

    Args:
        expected: points at the snapshot, by the collection's restored name.
        found: what is there now, by the same names; others are ignored.
        expected_aliases: alias → collection that were to be set.
        aliases: alias → collection now.
    """
    evidence = {
        "collections_expected": len(expected),
        "collections_found": len(expected.keys() & found.keys()),
        "collections": {
            name: {
                "expected": count.value,
                "quality": count.quality.value,
                "found": dict(found[name].points) if name in found else None,
                "status": found[name].status if name in found else None,
            }
            for name, count in sorted(expected.items())
        },
        "aliases": dict(sorted((aliases or {}).items())),
    }
    mismatches: list[str] = []
    for name, count in sorted(expected.items()):
        mismatches += _collection(name, count, found.get(name))
    for alias, collection in sorted((expected_aliases or {}).items()):
        current = (aliases or {}).get(alias)
        if current != collection:
            mismatches.append(f"Alias {alias} points to {current or 'nothing'}, and should to {collection}.")
    weak = [name for name, count in sorted(expected.items()) if count.quality is Quality.APPROXIMATE]
    notes = (f"Only known approximately at the snapshot: {', '.join(weak)}.",) if weak else ()
    return Judgement(evidence, tuple(mismatches), notes)


def _collection(name: str, expected: Count, found: FoundCollection | None) -> list[str]:
    if found is None:
        return [f"Collection {name} is missing; it had {expected.value} points."]
    if not found.points:
        return [f"No node counted the points of collection {name}."]
    problems = [
        problem
        for node, points in sorted(found.points.items())
        if (
            problem := differs(
                f"Collection {name} on node {node}", expected, Count(value=points, quality=Quality.EXACT)
            )
        )
    ]
    if found.status != "green":
        problems.append(f"Collection {name} is {found.status}, and should be green.")
    return problems
