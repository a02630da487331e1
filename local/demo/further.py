"""Acts 10 and 11, for who wants to see more: a moment between two points, and the restore without us."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from local import break_glass
from local.demo.backing_up import PAUSE_BEFORE, SEED, lose_everything, point_of_run
from local.demo.restoring import execute
from local.demo.story import Story, counted
from local.octopus import truth
from local.octopus.work import OngoingWork

WORK_SECONDS = 3.0
WHOLE_SECOND = 1.2
"""msdb keeps the times of backups in whole seconds, so a moment needs more than one on both sides."""


def between_two_points(story: Story) -> list[str]:
    """Act 10: SQL Server to a moment between two points, older vectors, and the gap listed.

    Returns:
        What does not match.
    """
    story.act("10  Wrong data: back to a moment between two recovery points, in place")
    at_the_moment, moment = _two_points_and_a_moment_between(story)
    asked = {"target": {"time": moment}, "policy": "latest_sql", "in_place": True}
    plan = story.app.post("/api/restores/plan", asked)["plans"][0]
    story.say(
        "Policy latest_sql: SQL Server goes to the moment itself, because it is the only copy of episodes, "
        "and the vectors to the newest set before it."
    )
    story.say(plan["consistency"])
    for sentence in plan["losses"]:
        story.say(sentence, "  - ")
    story.stack.stop_octopus()
    story.run = execute(story, plan)
    _show_gap(story)
    expected = truth.Truth(at_the_moment.tables, story.expected.collections)
    return _judged(story, expected, story.found or story.read_truth())


def _two_points_and_a_moment_between(story: Story) -> tuple[truth.Truth, str]:
    """More work, the moment, more work, and a second point; returns the truth of the moment, and its time."""
    story.work = OngoingWork(story.memory, random.Random(SEED + 1)).start()  # noqa: S311  # a story, no secret
    try:
        with story.waiting("people work with the restored Octopus"):
            time.sleep(WORK_SECONDS)
            story.work.pause()
            time.sleep(WHOLE_SECOND)
            moment = datetime.now(UTC)
            then = story.read_truth()
            time.sleep(WHOLE_SECOND)
            story.work.resume()
            time.sleep(WORK_SECONDS)
            story.work.pause()
            time.sleep(PAUSE_BEFORE)
            begun = story.app.post("/api/recovery-points", {"name": "before v7"})
            story.second = point_of_run(story, begun["run_id"])
            story.at_second = story.read_truth()
    finally:
        story.work.stop()
    shown = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    story.say(
        f"People worked on; everything is as it should be until {shown[11:19]}, and then it is not. A second "
        f"recovery point, “before v7”, was made after that."
    )
    return then, shown


def _show_gap(story: Story) -> None:
    for step in story.run["steps"]:
        if step["id"].endswith("-gap"):
            story.say(f"Documents indexed after the vectors that were restored: {step['note']}.")
            for document in step["evidence"]["first_documents"][:5]:
                story.say(f"{document['source']}, {counted(document['chunks'], 'chunk')}", "  - ")


def without_us(story: Story) -> list[str]:
    """Act 11: everything is lost again, our software too; two scripts beside the point bring it back.

    Returns:
        What does not match.
    """
    story.act("11  Break glass: everything is lost again, and so is this software")
    lose_everything(story)
    with story.waiting("restore.sql and restore.sh, from beside the recovery point"):
        ways = break_glass.restore(story.stack, story.second["id"])
    for way in ways:
        story.say(way, "  ✓ ")
    return _judged(story, story.at_second, story.read_truth())


def _judged(story: Story, expected: truth.Truth, found: truth.Truth) -> list[str]:
    wrong = truth.differences(expected, found) + truth.unknown_agents(found)
    if not wrong:
        story.say(
            f"{counted(found.row_count, 'row')} and {counted(found.point_count, 'point')}, every one as it "
            "should be; no vector refers to an agent that SQL Server does not know.",
            "  ✓ ",
        )
    return wrong
