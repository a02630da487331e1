"""Acts 6 to 9: the plan, the restore, the proof and the report."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from local.demo.app import until
from local.demo.story import Story, counted
from local.octopus import loading, truth
from local.stack import Stack
from shared.clock import SystemClock
from shared.octopus.api import OctopusApi
from shared.settings import OctopusSettings

OPERATOR = "the demo's operator"
"""Who says that the Octopus API was stopped; the demo has no hook that stops it."""

_SIGNS = {"succeeded": "✓", "failed": "✗", "skipped": "-"}


def plan_and_restore(story: Story) -> None:
    """Acts 6 and 7: the plan is read, its digest starts it, the restore is followed to its end."""
    story.act("6  The plan: what a person reads before anything is touched")
    answer = story.app.post("/api/restores/plan", {"target": {"recovery_point": story.point["id"]}})
    plan = answer["plans"][0]
    story.console.print("\n".join(f"  {line}".rstrip() for line in plan["text"].splitlines()), markup=False)
    story.act("7  The restore, started over HTTP with the plan's digest")
    story.run = execute(story, plan)


def execute(story: Story, plan: dict[str, Any]) -> dict[str, Any]:
    """Start a plan by its digest and follow it to its end; returns the run as it ended.

    Both stores are read for the proof when the restore waits for Octopus, which is then started.
    """
    body = {"plan_id": plan["id"], "digest": plan["digest"], "fenced_by": OPERATOR}
    begun = story.app.post("/api/restores", body)
    story.found = None
    with story.waiting("the restore is under way"):
        return _followed(story, begun["status_url"])


def _followed(story: Story, path: str) -> dict[str, Any]:
    story.told.clear()
    for run in until("the end of the restore", lambda: story.app.get(path), 120):
        for step in run["steps"]:
            _show_step(story, step)
            if step["id"].endswith("-health") and step["state"] == "running" and story.stack.octopus is None:
                story.say(
                    "The restore now waits for Octopus. Before it is started, and anything can write again, "
                    "both stores are read for the proof."
                )
                story.found = story.read_truth()
                story.stack.start_octopus()
        if run["state"] not in ("pending", "running"):
            return dict(run)
    raise AssertionError("until() ends by an error")


def _show_step(story: Story, step: dict[str, Any]) -> None:
    if step["state"] not in _SIGNS or step["id"] in story.told:
        return
    story.told.add(step["id"])
    note = f" ({step['note']})" if step["note"] else ""
    why = f": {step['error']['message']}" if step["error"] else ""
    story.say(f"{step['title']}{note}{why}", f"  {_SIGNS[step['state']]} ")


def prove(story: Story) -> list[str]:
    """Act 8: rows, points, payloads, agents, a conversation; returns what does not match."""
    story.act("8  The proof, read from the stores themselves and compared with what was there at the point")
    found = story.found or story.read_truth()
    wrong = truth.differences(story.expected, found) + truth.unknown_agents(found)
    if story.run["state"] != "succeeded":
        wrong.append(f"The restore ended as {story.run['state']}: {json.dumps(story.run['error'])}")
    if not wrong:
        for name, table in story.expected.tables.items():
            story.say(f"{name:<38}  {counted(len(table), 'row'):>10}, every value as it was", "  ✓ ")
        for name, points in story.expected.collections.items():
            story.say(
                f"{name:<38}  {counted(len(points), 'point'):>10}, payloads and vectors as they were", "  ✓ "
            )
        story.say("No vector refers to an agent that SQL Server does not know.", "  ✓ ")
    return wrong + conversation(story)


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
        story.say(f"“{proof.question}” Octopus recalls what it was told once: {proof.answer}.", "  ✓ ")
    else:
        wrong.append(f"The conversation did not recall {proof.answer}: {said.text[:200]!r}")
    hits = octopus.search_knowledge(str(agents[searcher].id), question)
    if hits and hits[0].get("source") == source:
        story.say(f"“{question}” The search puts the right chunk first: {source}.", "  ✓ ")
    else:
        wrong.append(f"The search did not put {source} first: {[hit.get('source') for hit in hits]}")
    return wrong


def octopus_settings(stack: Stack) -> OctopusSettings:
    """How this stack's Octopus is reached."""
    return OctopusSettings(
        OCTOPUS_API_URL=stack.octopus_url, OCTOPUS_API_TOKEN=SecretStr(stack.octopus_token)
    )


def report(story: Story) -> None:
    """Act 9: the restore's own report: the checklist on the terminal, the whole in files."""
    story.act("9  The report: the product's recovery checklist, with evidence")
    folder = story.stack.folder / "report"
    folder.mkdir(exist_ok=True)
    made = story.run["result"].get("report", {"checklist": [], "losses": []})
    text = story.run["result"].get("report_text", "The restore left no report.")
    (folder / "report.json").write_text(json.dumps(made, indent=2, ensure_ascii=False), "utf-8")
    (folder / "report.txt").write_text(text, "utf-8")
    for item in made["checklist"]:
        verdict = item["verdict"].replace("_", " ").upper()
        story.say(f"{item['title']:<34} {verdict}, {item['seconds']:.1f} s", f"  {item['number']}  ")
    story.say(f"Each with its evidence: {folder}/report.txt (for reading), report.json (for machines).")
