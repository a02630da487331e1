"""What a plan tells the person who reads it: what is done, what is consistent with what, what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.model.backups import QdrantFacts
from shared.model.findings import Finding, Severity
from shared.model.plans import PlanRequest, Policy
from shared.planning.resolving import Resolution
from shared.planning.selecting import Selection
from shared.planning.steps import Work
from shared.planning.words import lasted, said

EPISODES = "dbo.Octopus_Episodes"
"""The table whose rows are told as what is lost: SQL Server is their only copy (Octopus' guide on backup)."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What there is to tell of a plan.

    ``live_aliases`` and ``live_versions`` (by peer) are those of the Qdrant that is restored to.
    ``agents_known`` tells whether somebody could say which agents SQL Server will know. ``episodes_now`` (by
    database) and ``points_now`` (by collection) count what is there now, empty where nobody could; ``gone``
    are blobs of the set that are not there any more.
    """

    request: PlanRequest
    resolution: Resolution
    qdrant: QdrantFacts | None
    selection: Selection
    work: Work
    now: datetime
    live_aliases: frozenset[str]
    live_versions: Mapping[str, str]
    agents_known: bool
    episodes_now: Mapping[str, int]
    points_now: Mapping[str, int]
    gone: frozenset[str]

    @property
    def vectors_ended(self) -> datetime:
        """When the newest of the snapshots that are restored had ended."""
        ends = [part.finished_at for parts in self.work.parts.values() for part in parts]
        return max(ends, default=self.resolution.sql_point)


def finding(code: str, severity: Severity, message: str, hint: str = "") -> Finding:
    """A finding, in one line."""
    return Finding(code=code, severity=severity, message=message, hint=hint)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def summary(story: Story) -> str:
    """The plan in one sentence."""
    resolution, work = story.resolution, story.work
    parts = [f"{len(work.chains)} database(s)"] if work.chains else []
    parts += [f"{len(work.parts)} collection(s)"] if work.parts else []
    how = "in place" if story.request.in_place else "without overwriting anything"
    what = f"Restore {' and '.join(parts)} {how}"
    alone = "; SQL Server is left as it is" if not work.chains else ""
    point = resolution.point
    if resolution.policy is Policy.PAIRED and point:
        name = f" ({point.name})" if point.name else ""
        return f"{what} to recovery point {point.id}{name}, {_at(resolution)}{alone}."
    if alone:
        return f"{what}: vectors as of {said(story.vectors_ended)}{alone}."
    vectors = f", vectors as of {said(story.vectors_ended)}" if work.parts else ""
    return f"{what}: SQL Server to {_at(resolution)}{vectors}."


def _at(resolution: Resolution) -> str:
    return said(resolution.sql_point)


def consistency(story: Story) -> str:
    """What is consistent with what, in words."""
    resolution, point = story.resolution, story.resolution.point
    if not story.work.parts:
        return _sql_alone(story)
    if not story.work.chains:
        return _vectors_alone(story)
    rule = "No restored vector refers to an agent that was created after the SQL point"
    if resolution.policy is Policy.PAIRED and point:
        how = "its mark was set" if any(side.mark_name for side in point.sql) else "its log backup was made"
        return (
            f"{rule}: the snapshots of recovery point {point.id} ended at {said(point.vectors.finished_at)}, "
            f"and then {how}, at {_at(resolution)}. The two sides are at most "
            f"{point.skew_seconds:.0f} s apart."
        )
    proof = (
        f"recovery point {point.id} proves the order"
        if point
        else "no mark proves the order, so a margin for clocks that differ was kept"
    )
    ended = story.vectors_ended
    return (
        f"{rule}: the newest snapshot ended at {said(ended)}, {lasted(resolution.sql_point - ended)} before "
        f"SQL Server's state of {_at(resolution)}; {proof}. Agents and episodes are newer than the vectors."
    )


def _sql_alone(story: Story) -> str:
    told = "SQL Server is restored alone; nothing is done to the vectors."
    if not story.work.qdrant_there:
        return told
    return (
        f"{told} They stay at now, and SQL Server goes to {_at(story.resolution)}: vectors of agents that "
        "were created after that refer to agents that SQL Server does not know."
    )


def _vectors_alone(story: Story) -> str:
    if story.request.agents:
        whose = f"the vectors of {len(set(story.request.agents))} agent(s) are restored alone"
    else:
        whose = "the vectors are restored alone"
    known = (
        "so none of them refers to an agent that SQL Server does not know; what was indexed since is missing."
        if story.agents_known
        else "but whether SQL Server knows their agents is not proven: it could not be asked."
    )
    return (
        f"SQL Server stays at now, and {whose}, to snapshots that ended at {said(story.vectors_ended)}. They "
        f"are older than SQL Server's state, {known}"
    )


def losses(story: Story) -> tuple[str, ...]:
    """What will not be there after the restore, in sentences."""
    return (*_sql_losses(story), *_episode_losses(story), *_vector_losses(story))


def _sql_losses(story: Story) -> Iterator[str]:
    for database, chain in story.work.chains.items():
        newest = story.resolution.newest[database]
        if chain.stop_inside:
            until = story.resolution.sql_point
            yield (
                f"{database}: everything committed after {said(until)}. Of it, {lasted(newest - until)} are "
                f"in backups (the newest ended at {said(newest)}) but not restored."
            )
        else:
            until = chain.backups[-1].finished_at
            yield (
                f"{database}: everything that is not in the backup that ended at {said(until)}; "
                f"the newest one ended at {said(newest)}."
            )
        where = (
            "goes into the backup of the log's tail that is taken first, and is not restored"
            if database in story.work.tails
            else "is in no backup"
        )
        yield f"{database}: what was committed in the {lasted(story.now - newest)} since then {where}."


def _episode_losses(story: Story) -> Iterator[str]:
    """How many episodes are newer, where the point's count and the live one are at hand."""
    point = story.resolution.point
    if point is None or story.resolution.policy is not Policy.PAIRED:
        return
    for side in point.sql:
        then, now = side.tables.get(EPISODES), story.episodes_now.get(side.database)
        if side.database in story.work.chains and then is not None and now is not None:
            yield f"{side.database}: about {_newer(now - then.value, 'episode(s)', 'the recovery point')}."


def _newer(difference: int, what: str, then: str) -> str:
    if difference < 0:
        return f"{-difference} {what} fewer are there now than at {then}; those come back"
    return f"{difference} {what} after {then}"


def _vector_losses(story: Story) -> Iterator[str]:
    restored = story.work.parts
    if restored:
        ended = story.vectors_ended
        yield (
            f"Vectors: documents indexed or changed after {said(ended)}, {lasted(story.now - ended)} ago. "
            "They have to be indexed again from their sources."
        )
    if story.qdrant:
        then = {one.name: one.points.value for one in story.qdrant.collections if one.name in restored}
        counted = then.keys() & story.points_now.keys()
        if counted:
            newer = sum(story.points_now[name] - then[name] for name in counted)
            where = "" if len(counted) == len(then) else f", in {len(counted)} of {len(then)} collections"
            yield f"Vectors: about {_newer(newer, 'document part(s)', 'the snapshots')}{where}."
    for collection, reason in story.selection.left_out.items():
        yield f"Collection {collection} is not restored: {reason}."
