"""The acts of the demo, one function each."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyodbc
from pydantic import SecretStr
from rich.console import Console

from local.demo.app import App, DemoFailedError, until
from local.octopus import knowledge, loading, truth
from local.octopus.memory import Memory
from local.octopus.work import OngoingWork
from local.sqlserver.client import connection_string
from local.stack import DATABASE, Stack
from shared.clock import SystemClock
from shared.octopus.api import OctopusApi
from shared.settings import OctopusSettings

SEED = 20261123
FULL_AFTER, DIFFERENTIAL_AFTER, POINT_AFTER = 5, 9, 14
"""Seconds from the start of the function app to the slots of its timers."""

PAUSE_BEFORE = 1.0


@dataclass
class Story:
    """What the acts know of one another."""

    stack: Stack
    console: Console
    began: float = field(default_factory=time.monotonic)
    memory: Memory = field(init=False)
    work: OngoingWork = field(init=False)
    app: App = field(init=False)
    point_slot: datetime = field(init=False)
    point: dict[str, Any] = field(init=False)
    expected: truth.Truth = field(init=False)
    found: truth.Truth | None = None
    run: dict[str, Any] = field(init=False)
    told: set[str] = field(default_factory=set)

    def act(self, title: str) -> None:
        """Announce an act."""
        self.console.print(f"\n[bold]{title}[/]  [dim]{time.monotonic() - self.began:.0f} s[/]")

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        self.console.print(f"  {text.replace('[', chr(92) + '[')}", soft_wrap=True)


def demo_schedules(now: datetime) -> tuple[dict[str, str], datetime]:
    """Schedules in seconds instead of hours, and the slot of the recovery point."""

    def at(seconds: int) -> datetime:
        return (now + timedelta(seconds=seconds)).replace(microsecond=0)

    def cron(moment: datetime) -> str:
        return f"{moment.second} {moment.minute} {moment.hour} * * *"

    schedules = {
        "SQL_FULL_SCHEDULE": cron(at(FULL_AFTER)),
        "SQL_DIFFERENTIAL_SCHEDULE": cron(at(DIFFERENTIAL_AFTER)),
        "SQL_LOG_SCHEDULE": "*/4 * * * * *",
        "RECOVERY_POINT_SCHEDULE": cron(at(POINT_AFTER)),
        "HISTORY_PURGE_SCHEDULE": "0 0 0 * * *",
    }
    return schedules, at(POINT_AFTER)


@contextlib.contextmanager
def remembering(story: Story) -> Iterator[None]:
    """Act 2: Octopus gets its memory, and goes on using it until the block ends."""
    story.act("2  Octopus remembers")
    story.say(
        "Text: the Python language reference that every Python carries. Vectors: feature hashing of words"
    )
    story.say("(deterministic, no language model).")
    story.memory = Memory(story.stack.sql, str(story.stack.qdrant.ready["url"]), SystemClock())
    with contextlib.closing(story.memory):
        loaded = loading.load(story.memory, random.Random(SEED), story.say)  # noqa: S311  # a story, no secret
        story.say(f"{len(loaded.agents)} agents, {loaded.chunks} points, {loaded.episodes} episodes.")
        story.stack.start_octopus()
        story.work = OngoingWork(story.memory, random.Random(SEED)).start()  # noqa: S311
        try:
            yield
        finally:
            with contextlib.suppress(pyodbc.Error, httpx.HTTPError):  # the story has ended, well or badly
                story.work.stop()


def back_up_on_schedule(story: Story) -> None:
    """Act 3: the timers fire while work goes on, until the recovery point's slot is near."""
    story.act("3  Backups on schedule, while Octopus works")
    schedules, story.point_slot = demo_schedules(datetime.now(UTC))
    story.stack.schedules = schedules
    story.stack.start_host()
    story.app = App(story.stack.host_url, story.stack.function_key)
    wanted = {"full", "differential", "log"}
    near = story.point_slot - timedelta(seconds=PAUSE_BEFORE)
    for listed in until("the first backups", lambda: story.app.get("/api/backups"), 60):
        show_backups(story, listed)
        seen = {backup["kind"] for backup in listed["backups"]}
        if wanted <= seen and datetime.now(UTC) >= near:
            return
        if datetime.now(UTC) >= near:
            story.work.pause()  # the point is about to be made, however late the backups are


def show_backups(story: Story, listed: dict[str, Any]) -> None:
    """What landed in Blob Storage since the last look, and runs that failed."""
    for backup in reversed(listed["backups"]):
        if backup["id"] not in story.told:
            story.told.add(backup["id"])
            what = backup.get("database") or f"{backup.get('collections')} collections"
            when = backup["finished_at"][11:19]
            story.say(
                f"{when}  {backup['kind']:<13} {what:<16} {backup['size'] / 1024:>9,.0f} KiB in Blob Storage"
            )
    for run in listed["runs"]:
        key = f"{run['id']}/{run['attempt']}"
        if run["state"] == "failed" and key not in story.told:
            story.told.add(key)
            story.say(f"{run['title']} failed: {run['error']['message'] if run['error'] else '?'}")


def make_recovery_point(story: Story) -> None:
    """Act 4: the daily recovery point; work pauses meanwhile, so that "equal" can be judged."""
    story.act("4  The recovery point: all vectors first, then a mark in SQL Server's log")
    story.work.pause()
    slot = story.point_slot.isoformat().replace("+00:00", "Z")
    for listed in until("the recovery point", lambda: story.app.get("/api/recovery-points"), 60):
        made = [point for point in listed["recovery_points"] if point["slot"] == slot]
        if made:
            break
        failed = [run for run in listed["runs"] if run["slot"] == slot and run["state"] == "failed"]
        if failed:
            raise DemoFailedError(f"The recovery point's run failed: {json.dumps(failed[0]['error'])}")
    story.point = made[0]
    story.expected = read_truth(story)
    complete = "complete" if story.point["complete"] else f"INCOMPLETE: {story.point['reasons']}"
    story.say(
        f"{story.point['id']}: {complete}, {story.point['collections']} collections, skew between the two"
    )
    story.say(f"sides {story.point['skew_seconds']:.1f} s.")
    story.say(
        f"What must come back: {story.expected.row_count} rows in {len(story.expected.tables)} tables, "
        f"{story.expected.point_count} points."
    )
    story.work.resume()


def go_on_working(story: Story) -> None:
    """Act 5, first half: what happens after the point, and will be lost."""
    story.act("5  Life goes on, and then everything is lost")
    before = (story.work.done.episodes, story.work.done.documents)
    later = loading.add_agent(story.memory, knowledge.LATER)
    story.memory.index(later, knowledge.LATER.sources()[:4])
    time.sleep(2.5)
    story.work.stop()
    episodes, documents = (now - then for now, then in zip(_done(story), before, strict=True))
    story.say(
        f"After the point: {episodes} more episodes, {documents} more documents, a new agent “{later.name}”."
    )


def _done(story: Story) -> tuple[int, int]:
    return story.work.done.episodes, story.work.done.documents


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
        f"DROP DATABASE [{DATABASE}]; {len(names)} Qdrant collections deleted; the Octopus API is down."
    )


def plan_and_restore(story: Story) -> None:
    """Acts 6 and 7: the plan is read, its digest starts it, the restore is followed to its end."""
    story.act("6  The plan")
    answer = story.app.post("/api/restores/plan", {"target": {"recovery_point": story.point["id"]}})
    plan = answer["plans"][0]
    story.console.print(plan["text"], highlight=False, markup=False, soft_wrap=True)
    story.act("7  The restore, started with the plan's digest")
    begun = story.app.post("/api/restores", {"plan_id": plan["id"], "digest": plan["digest"]})
    path = begun["status_url"]
    ended: set[str] = set()
    for run in until("the end of the restore", lambda: story.app.get(path), 120):
        for step in run["steps"]:
            if step["state"] in ("succeeded", "failed", "skipped") and step["id"] not in ended:
                ended.add(step["id"])
                why = f": {step['error']['message']}" if step["error"] else ""
                note = f"  ({step['note']})" if step["note"] else ""
                story.say(f"{step['state']:<10} {step['title']}{note}{why}")
            if step["id"].endswith("-health") and step["state"] == "running" and story.stack.octopus is None:
                story.say(
                    "The restore waits for Octopus. Both stores are read for the proof before anything can"
                )
                story.say("write to them again; then the API is started.")
                story.found = read_truth(story)
                story.stack.start_octopus()
        if run["state"] not in ("pending", "running"):
            story.run = run
            return


def prove(story: Story) -> list[str]:
    """Act 8: rows, points, payloads, agents, a conversation; returns what does not match."""
    story.act("8  The proof, read back from the stores themselves")
    found = story.found or read_truth(story)
    wrong = truth.differences(story.expected, found) + truth.unknown_agents(found)
    if story.run["state"] != "succeeded":
        wrong.append(f"The restore ended as {story.run['state']}: {json.dumps(story.run['error'])}")
    if not wrong:
        for name, table in story.expected.tables.items():
            story.say(f"{name:<28} {len(table):>5} rows, every one as it was")
        for name, points in story.expected.collections.items():
            story.say(f"{name}  {len(points):>5} points, payloads and vectors as they were")
        story.say("No vector refers to an agent that SQL Server does not know.")
    wrong += conversation(story)
    return wrong


def read_truth(story: Story) -> truth.Truth:
    """Every row and every point, as they are now."""
    return truth.read(story.stack.sql, str(story.stack.qdrant.ready["url"]))


def conversation(story: Story) -> list[str]:
    """Octopus recalls an old episode, and its search finds the right chunk; returns what does not hold."""
    proof = loading.RECALL_PROOF
    searcher, question, source = loading.SEARCH_PROOF
    agents = {agent.name: agent for agent in story.memory.agents()}
    if not {proof.agent, searcher} <= set(agents):
        return [f"The agent {proof.agent} or {searcher} is not there."]
    octopus = OctopusApi(octopus_settings(story.stack), SystemClock())
    wrong = []
    said = octopus.converse(str(agents[proof.agent].id), proof.question)
    if proof.answer in said.text and said.complete:
        story.say(f"“{proof.question}” Octopus recalls the old episode and answers: {proof.answer}.")
    else:
        wrong.append(f"The conversation did not recall {proof.answer}: {said.text[:200]!r}")
    hits = octopus.search_knowledge(str(agents[searcher].id), question)
    if hits and hits[0].get("source") == source:
        story.say(f"“{question}” The semantic search puts the right chunk first: {source}.")
    else:
        wrong.append(f"The search did not put {source} first: {[hit.get('source') for hit in hits]}")
    return wrong


def octopus_settings(stack: Stack) -> OctopusSettings:
    """How this stack's Octopus is reached."""
    return OctopusSettings(
        OCTOPUS_API_URL=stack.octopus_url, OCTOPUS_API_TOKEN=SecretStr(stack.octopus_token)
    )


def report(story: Story) -> Path:
    """The restore's own report, on the terminal and in files; returns where."""
    story.act("9  The report")
    folder = story.stack.folder / "report"
    folder.mkdir(exist_ok=True)
    result = story.run["result"]
    (folder / "report.json").write_text(json.dumps(result.get("report", {}), indent=2, ensure_ascii=False))
    text = result.get("report_text", "The restore left no report.")
    (folder / "report.txt").write_text(text)
    story.console.print(text, highlight=False, markup=False, soft_wrap=True)
    return folder
