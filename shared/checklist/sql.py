"""Steps 1 and 2 of the product's checklist: the restored database, and its migrations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.checklist.judgement import Judgement, differs
from shared.model.backups import Count, Quality
from shared.model.points import SqlSide


@dataclass(frozen=True)
class Marker:
    """The newest row of the marker table in the restored database."""

    mark_name: str
    point_id: str


def judge_sql(
    expected: SqlSide,
    point_id: str,
    marker: Marker | None,
    counts: Mapping[str, Count],
    *,
    at_the_point: bool = True,
) -> Judgement:
    """Whether the database is at its recovery point.

    Args:
        expected: the database at the point.
        point_id: id of the recovery point.
        marker: the newest marker row that was found.
        counts: rows by ``schema.table``, counted after the restore.
        at_the_point: False where SQL Server was restored further than the point on purpose; then nothing is
            demanded equal, and the judgement says so.
    """
    evidence = {
        "marker": {"mark_name": marker.mark_name, "point_id": marker.point_id} if marker else None,
        "expected_mark": expected.mark_name,
        "tables": {
            table: {
                "expected": expected.tables[table].value if table in expected.tables else None,
                "quality": expected.tables[table].quality.value if table in expected.tables else None,
                "found": counts[table].value if table in counts else None,
            }
            for table in sorted({*expected.tables, *counts})
        },
    }
    if not at_the_point:
        note = "SQL Server was restored past the recovery point: counts are shown, not compared."
        missing = [f"Table {table} is missing." for table in sorted(expected.tables) if table not in counts]
        return Judgement(evidence, tuple(missing), (note,))
    mismatches = [
        problem
        for table, count in sorted(expected.tables.items())
        if (problem := differs(f"Table {table}", count, counts.get(table)))
    ]
    wrong = _marker_problem(expected, point_id, marker)
    return Judgement(evidence, tuple([wrong] if wrong else []) + tuple(mismatches), tuple(_notes(expected)))


def _marker_problem(expected: SqlSide, point_id: str, marker: Marker | None) -> str | None:
    if expected.mark_name is None:
        return None
    if marker is None:
        return f"There is no marker row; the one of {expected.mark_name} should be the newest."
    if (marker.mark_name, marker.point_id) != (expected.mark_name, point_id):
        return (
            f"The newest marker row is {marker.mark_name} of point {marker.point_id}; "
            f"it should be {expected.mark_name} of point {point_id}."
        )
    return None


def _notes(expected: SqlSide) -> list[str]:
    notes = []
    if expected.mark_name is None:
        notes.append("The recovery point has no mark, so no marker row proves it: only counts were compared.")
    weak = sorted(table for table, count in expected.tables.items() if count.quality is Quality.APPROXIMATE)
    if weak:
        notes.append(f"Only known approximately at the recovery point: {', '.join(weak)}.")
    if not expected.tables:
        notes.append("The recovery point holds no row counts, so none were compared.")
    return notes


def judge_migrations(
    expected_head: str | None, expected_tables: Collection[str], head: str | None, tables: Collection[str]
) -> Judgement:
    """Whether the migration history ends where it did, and every table of the point is there.

    Args:
        expected_head: newest row of ``__EFMigrationsHistory`` at the recovery point; None: there was none.
        expected_tables: ``schema.table`` at the point.
        head: the newest row now.
        tables: ``schema.table`` now.
    """
    evidence = {"expected_head": expected_head, "head": head, "tables": sorted(tables)}
    mismatches = [f"Table {table} is missing." for table in sorted(set(expected_tables) - set(tables))]
    notes = []
    if expected_head is None:
        notes.append("No migration was recorded at the recovery point, so none was compared.")
    elif head != expected_head:
        was = f"ends with {head}" if head else "is empty"
        mismatches.insert(0, f"The migration history {was}; it should end with {expected_head}.")
    return Judgement(evidence, tuple(mismatches), tuple(notes))
