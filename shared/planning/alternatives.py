"""Other ways to much the same: what each costs or spares, and what to plan instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from shared.model.backups import Kind
from shared.model.plans import Alternative, CollectionStep, Plan, Policy, SqlRestoreStep, Step
from shared.model.points import RecoveryPoint
from shared.octopus.collections import agent_of
from shared.planning.consistency import breach, sql_time
from shared.planning.durations import read_by
from shared.planning.resolving import Known
from shared.planning.words import lasted, said, sized

NEAR = timedelta(hours=1)
"""A recovery point that is so near behind a target is worth a word: more is kept by waiting for it."""

FEWEST_LOGS = 3
"""Fewer logs than these are no reason to move a target."""


def alternatives(plan: Plan, known: Known) -> tuple[Alternative, ...]:
    """The ways that are worth a word, the nearest first; none for a restore that is put in service.

    Args:
        plan: the plan that they are alternatives to.
        known: what it was made from.
    """
    if plan.execution.serves is not None:
        return ()
    others = (_policy, _fewer_logs, _one_agent, _place)
    return (*_points(plan, known), *(one for way in others for one in way(plan)))


def _points(plan: Plan, known: Known) -> Iterator[Alternative]:
    """The complete recovery points just before and just after, where the plan restores none, or a bad one."""
    if not plan.chosen:  # SQL Server stays as it is, and a point is about both sides
        return
    wanted, own = _moment(plan, known), plan.execution.target.recovery_point_id
    sound = sorted(
        (one for one in known.points if one.complete and breach(one) is None and one.sql),
        key=lambda one: (sql_time(one), one.id),
    )
    paired = plan.execution.policy is Policy.PAIRED and any(one.id == own for one in sound)
    before = [one for one in sound if sql_time(one) <= wanted]
    if before and not paired:
        point = before[-1]
        yield Alternative(
            target=point.id,
            sentence=f"Recovery point {_named(point)} is {lasted(wanted - sql_time(point))} earlier: both "
            "sides of one moment, proven by its mark and counts; it costs SQL Server's work of that time.",
        )
    elif before and not _asked_for_point(plan) and _target_time(plan) is not None:
        gap = (_target_time(plan) or wanted) - sql_time(before[-1])
        yield Alternative(
            target=before[-1].id,
            sentence=f"This is recovery point {_named(before[-1])}, {lasted(gap)} before the time that was "
            "asked for; asked for by its id it stays the same, whatever points are made meanwhile.",
        )
    time = _target_time(plan)
    after = [one for one in sound if time and time < sql_time(one) <= time + NEAR]
    if after and time:
        yield Alternative(
            target=after[0].id,
            sentence=f"Recovery point {_named(after[0])} is only {lasted(sql_time(after[0]) - time)} later: "
            "it keeps that much more, and both sides belong together.",
        )


def _policy(plan: Plan) -> Iterator[Alternative]:
    """The other policy, where one was asked for: without one both plans are shown anyway."""
    asked = plan.request.get("policy")
    if asked is None or _asked_for_point(plan) or not (_logs(plan) and _collections(plan)):
        return
    other = Policy.LATEST_SQL if asked == Policy.PAIRED else Policy.PAIRED
    sentence = {
        Policy.LATEST_SQL: "SQL Server as late as possible: keeps episodes that the recovery point lacks; "
        "documents indexed since the snapshots have to be indexed again.",
        Policy.PAIRED: "Both sides of the newest recovery point: nothing has to be indexed again; SQL Server "
        "loses what came after it.",
    }[other]
    yield Alternative(target=f"{_target(plan)} --policy {other}", sentence=sentence)


def _fewer_logs(plan: Plan) -> Iterator[Alternative]:
    """The end of the newest data backup instead of a moment many logs later."""
    steps = [step for step in plan.execution.steps if isinstance(step, SqlRestoreStep)]
    logs = _logs(plan)
    if plan.execution.policy is Policy.PAIRED or len({step.database for step in steps}) != 1:
        return
    if len(logs) < FEWEST_LOGS:
        return
    data = [choice for choice in plan.chosen if choice.kind is not Kind.LOG]
    newest = max(data, key=lambda choice: choice.finished_at)
    spared = sum(read_by(step) for step in logs[1:])
    end = plan.execution.target.sql_stop.at or max(choice.finished_at for choice in plan.chosen)
    yield Alternative(
        target=f"{_iso(_next_second(newest.finished_at))} --policy {Policy.LATEST_SQL}",
        sentence=f"The end of the {newest.kind} backup of {said(newest.finished_at)}: {len(logs) - 1} logs "
        f"({sized(spared)}) fewer are read; it costs the {lasted(end - newest.finished_at)} after it.",
    )


def _one_agent(plan: Plan) -> Iterator[Alternative]:
    """A single collection, where many are restored."""
    collections = _collections(plan)
    if len(collections) < 2 or plan.request.get("agents"):
        return
    size = sum(read_by(step) for step in plan.execution.steps)
    one = next((step for step in collections if agent_of(step.collection)), None)
    if one is None:
        return
    yield Alternative(
        target=f"{_target(plan)} --agent {agent_of(one.collection)}",
        sentence=f"Where one agent's documents are all that is wanted: its collection alone instead of "
        f"{len(collections)}, {sized(read_by(one))} instead of {sized(size)} for this one; SQL Server "
        "stays as it is.",
    )


def _place(plan: Plan) -> Iterator[Alternative]:
    """In place instead of side by side, or the reverse."""
    state = plan.execution.target_state
    there = [name for name, now in state.databases.items() if now != "absent"]
    there += [name for name, exists in state.collections.items() if exists]
    if plan.execution.in_place and there:
        yield Alternative(
            target=_target(plan, in_place=False),
            sentence=f"Side by side: the {len(there)} live name(s) stay in service meanwhile and can be "
            "compared; it needs room for both, and the names are exchanged afterwards.",
        )
    beside = [step for step in plan.execution.steps if _beside(step)]
    if not plan.execution.in_place and beside:
        yield Alternative(
            target=f"{_target(plan)} --in-place",
            sentence=f"In place: spares the exchange of {len(beside)} name(s) and the room for both; what is "
            "live is overwritten, and Octopus stands still from the first step on.",
        )


def _beside(step: Step) -> bool:
    """Whether a step makes a copy under another name."""
    if isinstance(step, CollectionStep):
        return step.target != step.collection
    return isinstance(step, SqlRestoreStep) and step.backup_kind is Kind.FULL and step.target != step.database


def _logs(plan: Plan) -> Sequence[SqlRestoreStep]:
    steps = plan.execution.steps
    return [step for step in steps if isinstance(step, SqlRestoreStep) and step.backup_kind is Kind.LOG]


def _collections(plan: Plan) -> Sequence[CollectionStep]:
    return [step for step in plan.execution.steps if isinstance(step, CollectionStep)]


def _asked_for_point(plan: Plan) -> bool:
    target = plan.request.get("target")
    return isinstance(target, dict) and "recovery_point" in target


def _target_time(plan: Plan) -> datetime | None:
    target = plan.request.get("target")
    if isinstance(target, dict) and "time" in target:
        return datetime.fromisoformat(str(target["time"]))
    return None


def _moment(plan: Plan, known: Known) -> datetime:
    """The instant that the plan is about: the time that was asked for, its point's, or when it was made."""
    own = next((one for one in known.points if one.id == plan.execution.target.recovery_point_id), None)
    if _asked_for_point(plan) and own is not None:
        return sql_time(own)
    return _target_time(plan) or max((choice.finished_at for choice in plan.chosen), default=plan.made_at)


def _target(plan: Plan, *, in_place: bool | None = None) -> str:
    """The target as the command line takes it, with what was asked for besides."""
    target = plan.request.get("target")
    words = "latest"
    if isinstance(target, dict):
        time = _target_time(plan)
        words = _iso(time) if time else shlex.quote(str(target.get("recovery_point", "")))
    keep = plan.execution.in_place if in_place is None else in_place
    return f"{words} --in-place" if keep else words


def _named(point: RecoveryPoint) -> str:
    return f"{point.id} ({point.name})" if point.name else point.id


def _next_second(time: datetime) -> datetime:
    """A whole second that is surely after the end of a backup: msdb keeps whole seconds."""
    return time.replace(microsecond=0) + timedelta(seconds=1)


def _iso(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
