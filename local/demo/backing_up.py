"""Acts 2 to 5: Octopus gets a memory, it is backed up on schedule, and then it is lost."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyodbc
from azure.storage.blob import BlobServiceClient

from local.azurite import ACCOUNT_KEY
from local.demo.app import App, DemoFailedError, until
from local.demo.story import Story, counted
from local.octopus import knowledge, loading
from local.octopus.memory import Memory
from local.octopus.work import OngoingWork
from local.sqlserver.client import connection_string
from local.stack import DATABASE
from shared.blob.storage import CONTAINERS
from shared.clock import SystemClock
from shared.planning.words import sized

SEED = 20261123
LOG_SECONDS = 4
DIFFERENTIAL_AFTER, POINT_AFTER = 4, 9
"""Seconds from the slot of the full backup to those of the differential and the recovery point."""

SHORTEST_LEAD = 6.0
"""Seconds that the function app has at least to come up before the slot of the full backup."""

LEAD_PER_STACK = 1.6
"""The function app takes longer than the stores by this factor (measured), however fast the machine is."""

PAUSE_BEFORE = 1.0
WORK_AFTER_SECONDS = 2.5


def demo_schedules(now: datetime, lead: float) -> tuple[dict[str, str], datetime]:
    """Schedules in seconds instead of hours.

    Args:
        now: the time, UTC.
        lead: seconds until the full backup.

    Returns:
        The app settings of the schedules, and the slot of the recovery point.
    """

    def cron(moment: datetime) -> str:
        return f"{moment.second} {moment.minute} {moment.hour} * * *"

    full = (now + timedelta(seconds=lead)).replace(microsecond=0)
    point = full + timedelta(seconds=POINT_AFTER)
    schedules = {
        "SQL_FULL_SCHEDULE": cron(full),
        "SQL_DIFFERENTIAL_SCHEDULE": cron(full + timedelta(seconds=DIFFERENTIAL_AFTER)),
        "SQL_LOG_SCHEDULE": f"*/{LOG_SECONDS} * * * * *",
        "RECOVERY_POINT_SCHEDULE": cron(point),
        "HISTORY_PURGE_SCHEDULE": "0 0 0 * * *",
        "DRILL_SCHEDULE": "0 0 0 * * *",
    }
    return schedules, point


@contextlib.contextmanager
def remembering(story: Story) -> Iterator[None]:
    """Act 2: Octopus gets its memory, and goes on using it until the block ends."""
    lead = max(SHORTEST_LEAD, LEAD_PER_STACK * (time.monotonic() - story.began))
    story.stack.schedules, story.point_slot = demo_schedules(datetime.now(UTC), lead)
    story.stack.launch_host()  # gets ready while Octopus learns
    story.act("2  Octopus learns")
    story.say(
        "Its text is the Python language reference that every Python carries; its vectors are made by "
        "feature hashing of words: deterministic, no language model."
    )
    story.memory = Memory(story.stack.sql, str(story.stack.qdrant.ready["url"]), SystemClock())
    with contextlib.closing(story.memory):
        loaded = loading.load(story.memory, random.Random(SEED), story.say)  # noqa: S311  # a story, no secret
        story.say(f"{len(loaded.agents)} agents, {loaded.chunks} points, {loaded.episodes} episodes.")
        story.work = OngoingWork(story.memory, random.Random(SEED)).start()  # noqa: S311
        try:
            yield
        finally:
            with contextlib.suppress(pyodbc.Error, httpx.HTTPError):  # the story has ended, well or badly
                story.work.stop()


def back_up_on_schedule(story: Story) -> None:
    """Act 3: the timers fire while work goes on, until the recovery point's slot is near."""
    story.act("3  Backups on schedule, while people go on working with Octopus")
    story.say(
        f"In production: a full backup daily, a differential every 4 hours, the log every 15 minutes. Here: "
        f"the log every {LOG_SECONDS} s, and the others within the next seconds. Nothing was ever backed up, "
        "so the first tick also starts what was missed."
    )
    with story.waiting("waiting for the function app"):
        story.stack.await_host()
    story.app = App(story.stack.host_url, story.stack.function_key)
    wanted = {"full", "differential", "log"}
    near = story.point_slot - timedelta(seconds=PAUSE_BEFORE)
    with story.waiting("the timers decide; Octopus is at work"):
        for listed in until("the first backups", lambda: story.app.get("/api/backups"), 60):
            show_backups(story, listed)
            seen = {backup["kind"] for backup in listed["backups"]}
            if datetime.now(UTC) >= near:
                story.work.pause()  # the point is about to be made, however late the backups are
                if wanted <= seen:
                    return


def show_backups(story: Story, listed: dict[str, Any]) -> None:
    """What landed in Blob Storage since the last look, and runs that failed."""
    for run in reversed(listed["runs"]):
        key = f"{run['id']}/{run['attempt']}"
        if run["state"] == "failed" and key not in story.told:
            story.told.add(key)
            story.say(_failed(run), "  - ")
    for backup in reversed(listed["backups"]):
        if backup["id"] not in story.told:
            story.told.add(backup["id"])
            what = backup.get("database") or f"{backup['collections']} Qdrant collections"
            kind = backup["kind"].replace("_", " ")
            story.say(f"{backup['finished_at'][11:19]}  {kind} of {what}, {sized(backup['size'])}", "  ✓ ")


def _failed(run: dict[str, Any]) -> str:
    error = run["error"] or {"code": "", "message": "no reason was given"}
    at = (run["finished_at"] or run["started_at"])[11:19]
    if error["code"] == "no_full_backup" and run["title"].startswith("Log"):
        return f"{at}  no full backup yet; the next log backup comes in {LOG_SECONDS} s"
    return f"{at}  {run['title']} failed: {error['message']}"


def make_recovery_point(story: Story) -> None:
    """Act 4: the daily recovery point; work pauses meanwhile, so that "equal" can be judged."""
    story.act("4  The daily recovery point: all vectors first, then a mark in SQL Server's log")
    story.say("People pause while it is made, so that “equal” can be judged afterwards.")
    story.work.pause()
    with story.waiting("snapshots, then the mark, then the log backup that holds it"):
        story.point = _made_point(story)
        story.expected = story.read_truth()
    show_backups(story, story.app.get("/api/backups"))
    complete = "complete" if story.point["complete"] else f"INCOMPLETE: {story.point['reasons']}"
    skew = f"{story.point['skew_seconds']:.1f} s"
    story.say(f"Recovery point {story.point['id']}: {complete}; its two sides are {skew} apart.")
    story.say(
        f"What must come back: {counted(story.expected.row_count, 'row')} in {len(story.expected.tables)} "
        f"tables, {counted(story.expected.point_count, 'point')} in {len(story.expected.collections)} "
        "collections."
    )
    show_containers(story)
    story.work.resume()


def _made_point(story: Story) -> dict[str, Any]:
    slot = story.point_slot.isoformat().replace("+00:00", "Z")
    for listed in until("the recovery point", lambda: story.app.get("/api/recovery-points"), 60):
        for point in listed["recovery_points"]:
            if point["slot"] == slot:
                return dict(point)
        for run in listed["runs"]:
            if run["slot"] == slot and run["state"] == "failed":
                raise DemoFailedError(f"The recovery point's run failed: {json.dumps(run['error'])}")
    raise AssertionError("until() ends by an error")


def point_of_run(story: Story, run_id: str) -> dict[str, Any]:
    """The recovery point that a run makes, once it is made.

    Raises:
        DemoFailedError: the run failed, or takes too long.
    """
    for run in until("the recovery point", lambda: story.app.get(f"/api/recovery-points/{run_id}"), 60):
        if run["state"] == "failed":
            raise DemoFailedError(f"The recovery point's run failed: {json.dumps(run['error'])}")
        if run["state"] == "succeeded":
            made = next(step for step in run["steps"] if step["id"] == "point")
            return story.app.get(f"/api/recovery-points/{made['evidence']['point_id']}")
    raise AssertionError("until() ends by an error")


def show_containers(story: Story) -> None:
    """What lies in Blob Storage by now."""
    certificate = str(story.stack.azurite.certificate)
    account = BlobServiceClient(
        story.stack.azurite.url, credential=ACCOUNT_KEY, connection_verify=certificate
    )
    story.say("In Blob Storage by now:")
    with account:
        for container in CONTAINERS:
            sizes = [int(blob.size) for blob in account.get_container_client(container).list_blobs()]
            if sizes:
                story.say(
                    f"{container:<10} {counted(len(sizes), 'blob'):>10}  {sized(sum(sizes)):>10}", "    "
                )


def go_on_working(story: Story) -> None:
    """Act 5, first half: what happens after the point, and will be lost."""
    story.act("5  Life goes on, and then everything is lost")
    before = story.work.done.episodes, story.work.done.documents
    with story.waiting("people go on working"):
        later = loading.add_agent(story.memory, knowledge.LATER)
        story.memory.index(later, knowledge.LATER.sources()[:4])
        time.sleep(WORK_AFTER_SECONDS)
        story.work.stop()
    episodes, documents = story.work.done.episodes - before[0], story.work.done.documents - before[1]
    story.say(
        f"After the point: {counted(episodes, 'more episode')}, {counted(documents, 'more document')}, and a "
        f"new agent “{later.name}”."
    )


def lose_everything(story: Story) -> None:
    """Act 5, second half: database dropped, collections deleted."""
    story.stack.stop_octopus()
    port = story.stack.sqlserver.ready["port"]
    with contextlib.closing(
        pyodbc.connect(connection_string(port, story.stack.sa_password), autocommit=True, timeout=10)
    ) as master:
        master.execute(f"ALTER DATABASE [{DATABASE}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
        master.execute(f"DROP DATABASE [{DATABASE}]")
    qdrant = str(story.stack.qdrant.ready["url"])
    with httpx.Client(base_url=qdrant, timeout=30.0, trust_env=False) as client:
        names = [one["name"] for one in client.get("/collections").json()["result"]["collections"]]
        for name in names:
            client.delete(f"/collections/{name}").raise_for_status()
    story.say(
        f"Lost: the database {DATABASE} (dropped), all {len(names)} Qdrant collections (deleted), and the "
        "Octopus API is down."
    )
