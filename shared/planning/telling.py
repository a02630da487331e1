"""What a plan tells the person who reads it: what is consistent with what, what is lost, what to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model.backups import QdrantFacts, Quality
from shared.model.findings import Finding, Severity
from shared.model.plans import PlanRequest, Policy
from shared.planning.resolving import Resolution
from shared.planning.selecting import Selection
from shared.planning.steps import Work
from shared.planning.versions import number, older
from shared.planning.words import lasted, said, sized


@dataclass(frozen=True)
class Story:
    """What there is to tell of a plan.

    ``live_aliases`` and ``live_versions`` (by peer) are those of the Qdrant that is restored to.
    """

    request: PlanRequest
    resolution: Resolution
    qdrant: QdrantFacts | None
    selection: Selection
    work: Work
    now: datetime
    live_aliases: frozenset[str]
    live_versions: Mapping[str, str]


def summary(story: Story) -> str:
    """The plan in one sentence."""
    resolution = story.resolution
    parts = [f"{len(story.work.chains)} database(s)"] if story.work.chains else []
    parts += [f"{len(story.work.parts)} collection(s)"] if story.work.parts else []
    how = "in place" if story.request.in_place else "without overwriting anything"
    point = resolution.point
    if resolution.policy is Policy.PAIRED and point:
        name = f" ({point.name})" if point.name else ""
        return f"Restore {' and '.join(parts)} {how} to recovery point {point.id}{name}, {_at(resolution)}."
    vectors = f", vectors as of {said(_vectors_end(story))}" if story.work.parts else ""
    return f"Restore {' and '.join(parts)} {how}: SQL Server to {_at(resolution)}{vectors}."


def _at(resolution: Resolution) -> str:
    return said(resolution.sql_point)


def _vectors_end(story: Story) -> datetime:
    ends = [part.finished_at for parts in story.work.parts.values() for part in parts]
    return max(ends, default=story.resolution.sql_point)


def consistency(story: Story) -> str:
    """What is consistent with what, in words."""
    resolution, point = story.resolution, story.resolution.point
    if not story.work.parts:
        return "SQL Server is restored alone; nothing is done to the vectors."
    if not story.work.chains:
        return "The vectors are restored alone; whether SQL Server knows their agents is not proven."
    rule = "No restored vector refers to an agent that was created after the SQL point"
    if resolution.policy is Policy.PAIRED and point:
        how = "its mark was set" if any(side.mark_name for side in point.sql) else "its log backup was made"
        return (
            f"{rule}: the snapshots of recovery point {point.id} ended at {said(point.vectors.finished_at)}, "
            f"and then {how}, at {_at(resolution)}. The two sides are at most "
            f"{point.skew_seconds:.0f} s apart."
        )
    ended = _vectors_end(story)
    proof = (
        f"recovery point {point.id} proves the order"
        if point
        else "no mark proves the order, so a margin for clocks that differ was kept"
    )
    return (
        f"{rule}: the newest snapshot ended at {said(ended)}, {lasted(resolution.sql_point - ended)} before "
        f"SQL Server's state of {_at(resolution)}; {proof}. Agents and episodes are newer than the vectors."
    )


def losses(story: Story) -> tuple[str, ...]:
    """What will not be there after the restore, in sentences."""
    return (*_sql_losses(story), *_vector_losses(story))


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


def _vector_losses(story: Story) -> Iterator[str]:
    if story.work.parts:
        ended = _vectors_end(story)
        yield (
            f"Vectors: documents indexed or changed after {said(ended)}, {lasted(story.now - ended)} ago. "
            "They have to be indexed again from their sources."
        )
    for collection, reason in story.selection.left_out.items():
        yield f"Collection {collection} is not restored: {reason}."


def findings(story: Story, space: Mapping[str, int], free_bytes: int | None) -> tuple[Finding, ...]:
    """What to look at before starting; a finding of severity error keeps the plan from being started."""
    found = [
        *_about_point(story),
        *_about_targets(story),
        *_about_qdrant(story),
        *_about_space(story, space, free_bytes),
    ]
    if not story.work.octopus_api:
        found.append(
            _finding(
                "octopus_api_not_configured",
                Severity.INFO,
                "Steps 4 and 5 of the checklist (health, a conversation) are left out.",
                "Set OCTOPUS_API_URL to have them done.",
            )
        )
    return tuple(found)


def _finding(code: str, severity: Severity, message: str, hint: str = "") -> Finding:
    return Finding(code=code, severity=severity, message=message, hint=hint)


def _about_point(story: Story) -> Iterator[Finding]:
    point = story.resolution.point
    if point and not point.complete:
        yield _finding(
            "recovery_point_incomplete",
            Severity.WARNING,
            f"Recovery point {point.id} is incomplete: {'; '.join(point.reasons) or 'no reason recorded'}.",
            "Restore another one unless you know what is missing.",
        )
    sides = point.sql if point and story.resolution.policy is Policy.PAIRED else ()
    if any(not side.mark_name for side in sides):
        yield _finding(
            "no_mark",
            Severity.INFO,
            "The SQL point is the end of a log backup, without a mark: no marker row can prove it.",
        )
    counts = [count for side in sides for count in side.tables.values()]
    counts += (
        [c.points for c in story.qdrant.collections if c.name in story.work.parts] if story.qdrant else []
    )
    approximate = sum(count.quality is Quality.APPROXIMATE for count in counts)
    if approximate:
        yield _finding(
            "approximate_counts",
            Severity.INFO,
            f"{approximate} of {len(counts)} counts are approximate: they are compared with their interval.",
        )


def _about_targets(story: Story) -> Iterator[Finding]:
    work, names = story.work, story.work.names
    over = sorted(names.databases[name] for name in work.overwritten_databases)
    over += sorted(names.collections[name] for name in work.overwritten_collections)
    if over:
        yield _finding(
            "overwrites",
            Severity.WARNING,
            f"In place: what is there now under {len(over)} name(s) is replaced: {_some(over)}.",
            "Stop the Octopus API first. The way back is another restore, from the backups.",
        )
    if story.selection.without_agent:
        restored = sorted(name for name in story.selection.without_agent if name in work.parts)
        yield _finding(
            "collections_without_agent",
            Severity.WARNING,
            f"{len(story.selection.without_agent)} collection(s) belong to agents that SQL Server does not "
            f"know at that point: {_some(sorted(story.selection.without_agent))}. "
            + (f"Restored because they were named: {_some(restored)}." if restored else "None is restored."),
            "Name a collection in names to restore it all the same.",
        )


def _about_qdrant(story: Story) -> Iterator[Finding]:
    work = story.work
    if story.qdrant is None or not work.parts:
        return
    makers = story.qdrant.versions.values()
    behind = sorted(
        f"{version} (peer {peer})" for peer, version in story.live_versions.items() if older(version, makers)
    )
    if behind:
        yield _finding(
            "version_too_old",
            Severity.ERROR,
            f"The snapshots were made by Qdrant {max(makers, key=number)}, but the target runs "
            f"{_some(behind)}: an older server can destroy a collection while it recovers it.",
            "Upgrade it, then plan again.",
        )
    hidden = sorted(story.live_aliases & set(work.names.collections.values()))
    if hidden:
        yield _finding(
            "target_is_alias",
            Severity.ERROR,
            f"{_some(hidden)}: under {len(hidden)} name(s) that collections would get there are aliases.",
            "Give these collections other names in names, or delete the aliases; then plan again.",
        )
    aliases = {alias for one in story.qdrant.collections if one.name in work.parts for alias in one.aliases}
    kept = sorted(aliases - work.aliases.keys())
    if kept:
        yield _finding(
            "aliases_not_moved",
            Severity.INFO,
            f"{len(kept)} alias(es) are not set: {_some(kept)}. None follows a collection that gets another "
            "name, and what one stands for now is replaced in place only.",
            "Point them to the restored collections when these shall go into service.",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _about_space(story: Story, space: Mapping[str, int], free_bytes: int | None) -> Iterator[Finding]:
    peers = {server: need for server, need in space.items() if server.startswith("qdrant/")}
    if not peers or story.request.confirm_space:
        return
    server, most = max(peers.items(), key=lambda item: item[1])
    if free_bytes is None:
        yield _finding(
            "space_unknown",
            Severity.ERROR,
            f"Qdrant cannot be asked for its free space; {server} needs {sized(most)} ({most} bytes).",
            "Look at the volume, then plan again with confirm_space, or set QDRANT_FREE_BYTES.",
        )
    elif most > free_bytes:
        yield _finding(
            "space_short",
            Severity.ERROR,
            f"{server} needs {sized(most)} free and has {sized(free_bytes)}, as QDRANT_FREE_BYTES says.",
            "Make room, or plan again with confirm_space if there is more by now.",
        )
