"""What a plan finds noteworthy or wrong, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from shared.model.backups import Quality
from shared.model.findings import Finding, Severity
from shared.model.plans import ConversationStep, FenceStep, Policy, RehydrateStep, Step
from shared.planning.steps import Api, Work
from shared.planning.telling import Story, finding, some
from shared.planning.versions import number, older
from shared.planning.words import sized


def findings(
    story: Story, steps: Iterable[Step], space: Mapping[str, int], free_bytes: int | None
) -> tuple[Finding, ...]:
    """What to look at before starting; a finding of severity error keeps the plan from being started."""
    return (
        *_about_point(story),
        *_about_sides(story),
        *_about_targets(story),
        *_about_agents(story),
        *about_qdrant(story.work, story.live_versions, story.live_aliases),
        *about_space(space, free_bytes, confirmed=story.request.confirm_space),
        *about_steps(steps, api=story.work.api),
    )


def about_steps(steps: Iterable[Step], api: Api) -> Iterator[Finding]:
    """What a person should know of some steps before they are done."""
    for step in steps:
        match step:
            case RehydrateStep():
                size = sized(sum(blob.size for blob in step.files))
                yield finding(
                    "files_archived",
                    Severity.WARNING,
                    f"{len(step.files)} file(s), {size}, are in the archive tier and have to be brought back "
                    "online first, which takes up to 15 hours.",
                    "Look for a target whose files are online if that is too long.",
                )
            case FenceStep(hook=False):
                yield finding(
                    "fence_by_hand",
                    Severity.WARNING,
                    "There is no hook that stops the Octopus API, and it must be down: it migrates, creates "
                    "collections and purges when it starts.",
                    "Stop it, and say who did when you start the restore (--fenced-by, fenced_by).",
                )
            case ConversationStep():
                yield finding(
                    "conversation_writes",
                    Severity.INFO,
                    f"The conversation at the end writes an episode into {step.target}: from then on it "
                    "holds one more than was counted.",
                )
    if not api.address:
        yield finding(
            "octopus_api_not_configured",
            Severity.INFO,
            "Steps 4 and 5 of the checklist (health, a conversation) are left out.",
            "Set OCTOPUS_API_URL to have them done; without it, start the API yourself.",
        )


def _about_point(story: Story) -> Iterator[Finding]:
    point = story.resolution.point
    if point and not point.complete:
        yield finding(
            "recovery_point_incomplete",
            Severity.WARNING,
            f"Recovery point {point.id} is incomplete: {'; '.join(point.reasons) or 'no reason recorded'}.",
            "Restore another one unless you know what is missing.",
        )
    at_the_point = point and story.work.chains and story.resolution.policy is Policy.PAIRED
    sides = point.sql if point and at_the_point else ()
    if any(not side.mark_name for side in sides):
        yield finding(
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
        yield finding(
            "approximate_counts",
            Severity.INFO,
            f"{approximate} of {len(counts)} counts are approximate: they are compared with their interval.",
        )


def _about_targets(story: Story) -> Iterator[Finding]:
    work, names = story.work, story.work.names
    over = sorted(names.databases[name] for name in work.overwritten_databases)
    over += sorted(names.collections[name] for name in work.overwritten_collections)
    if over:
        yield finding(
            "overwrites",
            Severity.WARNING,
            f"In place: what is there now under {len(over)} name(s) is replaced: {some(over)}.",
            "Stop the Octopus API first. The way back is another restore, from the backups.",
        )


def _about_sides(story: Story) -> Iterator[Finding]:
    work = story.work
    if work.chains and not work.parts and work.qdrant_there:
        yield finding(
            "vectors_left_newer",
            Severity.WARNING,
            "The vectors stay as they are, newer than SQL Server will be: collections of agents that were "
            "created meanwhile will have no agent.",
            "Where the database goes into service, the restore lists them before the API opens.",
        )
    if story.gone:
        yield finding(
            "files_gone",
            Severity.WARNING,
            f"{len(story.gone)} file(s) of the snapshot set are gone: {some(sorted(story.gone), 3)}.",
            "Restore another recovery point unless you know what is missing.",
        )


def _about_agents(story: Story) -> Iterator[Finding]:
    selection, parts = story.selection, story.work.parts
    if selection.without_agent:
        restored = sorted(name for name in selection.without_agent if name in parts)
        when = "at that point" if story.work.chains else "now"
        yield finding(
            "collections_without_agent",
            Severity.WARNING,
            f"{len(selection.without_agent)} collection(s) belong to agents that SQL Server does not "
            f"know {when}: {some(sorted(selection.without_agent))}. "
            + (f"Restored because they were named: {some(restored)}." if restored else "None is restored."),
            "Name a collection in names to restore it all the same.",
        )
    if selection.unheld_agents:
        yield finding(
            "agents_without_collection",
            Severity.WARNING,
            f"The snapshot set holds no collection of {len(selection.unheld_agents)} of the agents that were "
            f"asked for: {some(selection.unheld_agents)}.",
            "They had no document then, or their ids are mistyped.",
        )
    if story.request.agents and not story.work.chains and not story.agents_known:
        yield finding(
            "agents_not_known",
            Severity.WARNING,
            "SQL Server could not be asked whether it knows these agents.",
            "Plan again when it answers, or look for their rows by hand.",
        )


def about_qdrant(work: Work, versions: Mapping[str, str], there: Collection[str]) -> Iterator[Finding]:
    """Whether a Qdrant can take what is recovered.

    Args:
        work: what there is to do.
        versions: peer id → version of the Qdrant that is restored to.
        there: the aliases that it has.
    """
    if work.qdrant is None or not work.parts:
        return
    makers = work.qdrant.versions.values()
    behind = sorted(
        f"{version} (peer {peer})" for peer, version in versions.items() if older(version, makers)
    )
    if behind:
        yield finding(
            "version_too_old",
            Severity.ERROR,
            f"The snapshots were made by Qdrant {max(makers, key=number)}, but the target runs "
            f"{some(behind)}: an older server can destroy a collection while it recovers it.",
            "Upgrade it, then plan again.",
        )
    hidden = sorted(set(work.names.collections.values()).intersection(there))
    if hidden:
        yield finding(
            "target_is_alias",
            Severity.ERROR,
            f"{some(hidden)}: under {len(hidden)} name(s) that collections would get there are aliases.",
            "Give these collections other names in names, or delete the aliases; then plan again.",
        )
    aliases = {alias for one in work.qdrant.collections if one.name in work.parts for alias in one.aliases}
    kept = sorted(aliases - work.aliases.keys())
    if kept:
        yield finding(
            "aliases_not_moved",
            Severity.INFO,
            f"{len(kept)} alias(es) are not set: {some(kept)}. None follows a collection that gets another "
            "name, and what one stands for now is replaced in place only.",
            "Point them to the restored collections when these shall go into service.",
        )


def about_space(space: Mapping[str, int], free_bytes: int | None, *, confirmed: bool) -> Iterator[Finding]:
    """Whether every Qdrant peer surely has the space that is needed; SQL Server is asked before a restore."""
    peers = {server: need for server, need in space.items() if server.startswith("qdrant/")}
    if not peers or confirmed:
        return
    server, most = max(peers.items(), key=lambda item: item[1])
    if free_bytes is None:
        yield finding(
            "space_unknown",
            Severity.ERROR,
            f"Qdrant cannot be asked for its free space; {server} needs {sized(most)} ({most} bytes).",
            "Look at the volume, then plan again with confirm_space, or set QDRANT_FREE_BYTES.",
        )
    elif most > free_bytes:
        yield finding(
            "space_short",
            Severity.ERROR,
            f"{server} needs {sized(most)} free and has {sized(free_bytes)}, as QDRANT_FREE_BYTES says.",
            "Make room, or plan again with confirm_space if there is more by now.",
        )
