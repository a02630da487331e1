"""Steps 1 and 2 of the product's checklist: the restored database, and its migrations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

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
        "tables": _tables(expected.tables, counts),
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


def judge_check(
    clean: bool, allocation_errors: int | None, consistency_errors: int | None, messages: Collection[str]
) -> Judgement:
    """Whether DBCC CHECKDB found the database sound.

    Args:
        clean: it reported no error.
        allocation_errors: how many of them it found; None if that is not known.
        consistency_errors: likewise.
        messages: the first errors in words.
    """
    evidence = {
        "checkdb": {
            "clean": clean,
            "allocation_errors": allocation_errors,
            "consistency_errors": consistency_errors,
            "messages": list(messages),
        }
    }
    if clean:
        return Judgement(evidence)
    counted = (
        f"{allocation_errors} allocation errors and {consistency_errors} consistency errors"
        if allocation_errors is not None and consistency_errors is not None
        else "errors, how many is not known"
    )
    return Judgement(evidence, (f"DBCC CHECKDB found {counted}. {' '.join(list(messages)[:1])}".strip(),))


def judge_live_sql(expected: SqlSide | None, marker: Marker | None, counts: Mapping[str, Count]) -> Judgement:
    """Whether a database in service still holds what it held at a recovery point.

    Octopus has worked on since, so rows may be more or fewer. But a table that is gone, or that was not empty
    and is now, is what a migration on an empty database leaves behind, and does not pass.

    Args:
        expected: the database at the point; None: there is no point, and only the counts are shown.
        marker: the newest marker row that was found.
        counts: rows by ``schema.table`` now.
    """
    then = expected.tables if expected else {}
    evidence = {
        "marker": {"mark_name": marker.mark_name, "point_id": marker.point_id} if marker else None,
        "expected_mark": expected.mark_name if expected else None,
        "tables": _tables(then, counts),
    }
    if expected is None:
        note = "There is no recovery point of this database, so its counts were compared with nothing."
        wrong = () if counts else ("The database holds no table of Octopus.",)
        return Judgement(evidence, wrong, (note,))
    mismatches = [f"Table {table} is missing." for table in sorted(then) if table not in counts]
    mismatches += [
        f"Table {table} is empty; it had {count.value} rows at the recovery point."
        for table, count in sorted(then.items())
        if table in counts and counts[table].value == 0 and (count.value if count.low is None else count.low)
    ]
    fewer = sorted(t for t, count in then.items() if t in counts and 0 < counts[t].value < count.value)
    notes = ["Octopus has worked on since the recovery point, so counts are shown, not demanded equal."]
    if fewer:
        notes.append(f"Fewer rows than at the recovery point: {', '.join(fewer)}.")
    if expected.mark_name is not None and marker is None:
        notes.append("There is no marker row, although recovery points were made of this database.")
    return Judgement(evidence, tuple(mismatches), tuple(notes))


def _tables(then: Mapping[str, Count], counts: Mapping[str, Count]) -> dict[str, dict[str, Any]]:
    return {
        table: {
            "expected": then[table].value if table in then else None,
            "quality": then[table].quality.value if table in then else None,
            "found": counts[table].value if table in counts else None,
        }
        for table in sorted({*then, *counts})
    }


def judge_migrations(
    expected_head: str | None,
    expected_tables: Collection[str],
    head: str | None,
    tables: Collection[str],
    *,
    at_least: bool = False,
    reference: str = "the recovery point",
) -> Judgement:
    """Whether the migration history ends where it should, and every table of the point is there.

    Args:
        expected_head: the newest row that ``__EFMigrationsHistory`` should have; None: that is not known.
        expected_tables: ``schema.table`` at the point.
        head: the newest row now.
        tables: ``schema.table`` now.
        at_least: whether a newer head is good, too. EF Core's ids begin with their time, so they sort.
        reference: what knows the expected head.
    """
    evidence = {"expected_head": expected_head, "head": head, "tables": sorted(tables)}
    mismatches = [f"Table {table} is missing." for table in sorted(set(expected_tables) - set(tables))]
    notes = []
    if expected_head is None:
        notes.append(f"No migration is recorded at {reference}, so none was compared.")
    elif head is None or (head < expected_head if at_least else head != expected_head):
        was = f"ends with {head}" if head else "is empty"
        more = " or a later one" if at_least else ""
        mismatches.insert(0, f"The migration history {was}; it should end with {expected_head}{more}.")
    elif head != expected_head:
        notes.append(
            f"The migration history ends with {head}, later than the {expected_head} of {reference}."
        )
    return Judgement(evidence, tuple(mismatches), tuple(notes))
