"""The evidence of a run, gathered from its steps into the tables that an auditor reads.

Every step keeps what it proved in its own words; here the same things stand side by side: all counts, all
marker rows, all collections. A step is known by what its evidence holds, so that a restore, a check and a
drill are read alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.model.plans import Plan
from shared.model.runs import Run, StepState

_SUBJECTS = ("target", "restored", "database", "collection")
"""Fields of a plan's step that say what it works on, the most telling first."""


def gathered(run: Run, plan: Plan | None) -> dict[str, Any]:
    """The evidence of a run by what it is about; every list in the order of the steps.

    Args:
        run: the run, with the whole evidence of its steps.
        plan: the plan that it executes, if it does.
    """
    subjects = _subjects(plan)
    told = [(step, subjects.get(step.id) or _subject_in(step)) for step in run.steps if step.evidence]
    return {
        "counts": [row for step, subject in told for row in _counts(step, subject)],
        "markers": [_marker(step, subject) for step, subject in told if "expected_mark" in step.evidence],
        "consistency_checks": [
            {"database": subject, **step.evidence["checkdb"]}
            for step, subject in told
            if _has(step, "checkdb")
        ],
        "migrations": [_migration(step, subject) for step, subject in told if "head" in step.evidence],
        "collections": [row for step, subject in told for row in _collections(step, subject)],
        "all_collections": [
            step.evidence["all_collections"] for step, _ in told if _has(step, "all_collections")
        ],
        "aliases": [
            {"alias": alias, "collection": collection}
            for step, _ in told
            if _has(step, "aliases")
            for alias, collection in step.evidence["aliases"].items()
        ],
        "fence": [
            _fence(step) for step, _ in told if {"stop_hook", "fenced_by", "seen_down"} & set(step.evidence)
        ],
        "orphans": [
            {"database": subject, **_plain(step.evidence)}
            for step, subject in told
            if "collections_without_agent" in step.evidence
        ],
        "erasures": [_erasure(step, subject) for step, subject in told if _has(step, "rows_deleted")],
        "api": [
            {name: step.evidence.get(name) for name in ("status", "waited_seconds", "deadline_seconds")}
            for step, _ in told
            if "deadline_seconds" in step.evidence and "waited_seconds" in step.evidence
        ],
        "conversations": [_plain(step.evidence) for step, _ in told if "recalled" in step.evidence],
    }


def _subjects(plan: Plan | None) -> dict[str, str]:
    """What each step of a plan works on."""
    found = {}
    for step in plan.execution.steps if plan else ():
        name = next((getattr(step, field) for field in _SUBJECTS if hasattr(step, field)), None)
        if isinstance(name, str):
            found[step.id] = name
    return found


def _subject_in(step: StepState) -> str:
    name = next((step.evidence[field] for field in _SUBJECTS if field in step.evidence), None)
    return name if isinstance(name, str) else step.title


def _has(step: StepState, name: str) -> bool:
    return isinstance(step.evidence.get(name), Mapping)


def _counts(step: StepState, subject: str) -> Iterator[dict[str, Any]]:
    tables = step.evidence.get("tables")
    if not isinstance(tables, Mapping):  # a list of names belongs to the migrations
        return
    for table, count in tables.items():
        if isinstance(count, Mapping):
            expected, found = count.get("expected"), count.get("found")
            yield {
                "database": subject,
                "table": table,
                "expected": expected,
                "found": found,
                "quality": count.get("quality"),
                "equal": None if expected is None else expected == found,
            }


def _marker(step: StepState, subject: str) -> dict[str, Any]:
    found = step.evidence.get("marker") or {}
    expected = step.evidence["expected_mark"]
    return {
        "database": subject,
        "expected": expected,
        "found": found.get("mark_name"),
        "point_id": found.get("point_id"),
        "equal": None if expected is None else found.get("mark_name") == expected,
    }


def _migration(step: StepState, subject: str) -> dict[str, Any]:
    wanted = (
        "expected_head",
        "head",
        "head_before",
        "script",
        "script_sha256",
        "batches",
        "command",
        "exit_code",
    )
    return {"database": subject, **{name: step.evidence[name] for name in wanted if name in step.evidence}}


def _collections(step: StepState, subject: str) -> Iterator[dict[str, Any]]:
    points = step.evidence.get("points")
    if isinstance(points, Mapping) and isinstance(points.get("counted"), Mapping):
        expected = points.get("expected") or {}
        yield {
            "collection": step.evidence.get("collection", subject),
            "target": step.evidence.get("target", subject),
            "expected": expected.get("value"),
            "quality": expected.get("quality"),
            "counted": dict(points["counted"]),
            "status": step.evidence.get("status") or {},
            "read_back": step.evidence.get("read_back"),
        }
    listed = step.evidence.get("collections")
    if isinstance(listed, Mapping):  # a look at the environment holds all of them in one step
        for name, state in listed.items():
            if isinstance(state, Mapping) and "counted" in state:
                yield {"collection": name, "target": name, "read_back": None, **state}


def _fence(step: StepState) -> dict[str, Any]:
    looks = step.evidence.get("seen_down")
    return {
        "by": step.evidence.get("fenced_by"),
        "hook": "stop_hook" in step.evidence,
        "seen_down": len(looks) if isinstance(looks, list) else None,
        "at": step.as_json()["finished_at"],
        "note": step.note,
    }


def _erasure(step: StepState, subject: str) -> dict[str, Any]:
    wanted = ("users", "rows_deleted", "rows_left")
    return {"database": subject, **{name: step.evidence.get(name) for name in wanted}}


def _plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name not in ("passed", "mismatches", "notes")}
