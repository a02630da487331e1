"""The report that an auditor reads: everything is on the page, nothing on it is what it seems not to be."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from shared.model.plans import ErasuresStep, FenceStep
from shared.model.runs import Run, RunKind, State, StepState
from shared.model.verdicts import Verdict
from shared.reporting import report, report_html, report_text, with_verdicts
from tests.unit.planning.world import at, plan, point, request
from tests.unit.reporting.test_texts import ERROR, a_run, changed_step

HOSTILE = "<script>alert('x')</script>\"'&\u202egnirts\x1b[31m"
COUNTS = {
    "passed": True,
    "marker": {"mark_name": "rp_1", "point_id": "POINT1"},
    "expected_mark": "rp_1",
    "tables": {
        "dbo.Octopus_Episodes": {"expected": 1234567, "quality": "exact", "found": 1234567},
        "dbo.Octopus_Areas": {"expected": 2, "quality": "approximate", "found": 3},
    },
    "checkdb": {"clean": True, "allocation_errors": 0, "consistency_errors": 0, "messages": []},
    "mismatches": [],
    "notes": ["Only known approximately at the recovery point: dbo.Octopus_Areas."],
}
COLLECTION = {
    "collection": "agent_1",
    "target": "rp_agent_1",
    "points": {
        "expected": {"value": 20, "quality": "exact", "low": None, "high": None},
        "counted": {"http://q0:6333": 20, "http://q1:6333": 20},
    },
    "status": {"http://q0:6333": "green", "http://q1:6333": "green"},
    "read_back": {"points": 20},
}
CONVERSATION = {"recalled": True, "found": True, "tokens": 3, "events": 9}


class Page(HTMLParser):
    """The text of a page, its tags, and every address in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def verdict(item: int = 5, **changed: Any) -> Verdict:
    values: dict[str, Any] = {
        "id": "V1",
        "run_id": "RUN1",
        "attempt": 1,
        "item": item,
        "verdict": "passed",
        "by": "Grace",
        "reason": "I talked to it myself.",
        "at": at(8),
        "via": "command line",
    }
    return Verdict(**values | changed)


def proven(**changed: Any) -> tuple[Run, Any]:
    """A restore with the evidence of every kind of step."""
    made = plan(request(**changed))
    run = a_run(made)
    for kind, evidence in (
        ("sql_proof", COUNTS),
        ("migrations", {"expected_head": "M1", "head": "M1", "tables": ["dbo.Octopus_Areas"]}),
        ("collection", COLLECTION),
        ("aliases", {"aliases": {"docs": "agent_1"}, "moved": {}}),
        ("orphans", {"collections_without_agent": ["agent_9"], "agents_without_collection": []}),
        ("health", {"status": 200, "waited_seconds": 1.5, "deadline_seconds": 1800.0}),
        ("conversation", CONVERSATION),
    ):
        run = changed_step(run, kind, evidence=evidence)
    fence = FenceStep(id="000-fence", title="Stop the Octopus API", hook=False)
    erased = ErasuresStep(
        id="999-erasures",
        title="Delete the rows of 3 erased user(s)",
        database="OctopusDB",
        target="OctopusDB",
        users=3,
        list_sha256="00",
    )
    more = [
        StepState(
            id=fence.id,
            title=fence.title,
            state=State.SUCCEEDED,
            finished_at=at(7),
            evidence={"fenced_by": "Ada", "seen_down": [{}, {}, {}]},
        ),
        StepState(
            id=erased.id,
            title=erased.title,
            state=State.SUCCEEDED,
            evidence={"users": 3, "rows_deleted": {"dbo.Octopus_Episodes": 41}, "rows_left": 0},
        ),
    ]
    execution = made.execution.model_copy(update={"steps": (*made.execution.steps, fence, erased)})
    run = run.model_copy(update={"steps": (*run.steps, *more), "request": {"fenced_by": "Ada"}})
    return run, made.model_copy(update={"execution": execution})


def test_the_evidence_of_all_steps_stands_side_by_side() -> None:
    run, made = proven()
    evidence = report(run, made, point())["evidence"]
    assert [(row["table"], row["expected"], row["found"], row["equal"]) for row in evidence["counts"]] == [
        ("dbo.Octopus_Episodes", 1234567, 1234567, True),
        ("dbo.Octopus_Areas", 2, 3, False),
    ]
    assert {row["database"] for row in evidence["counts"]} == {"OctopusDB"}
    assert evidence["markers"][0]["equal"] is True
    assert evidence["migrations"][0]["head"] == "M1"
    assert evidence["collections"][0]["counted"] == {"http://q0:6333": 20, "http://q1:6333": 20}
    assert evidence["aliases"] == [{"alias": "docs", "collection": "agent_1"}]
    assert evidence["fence"][0]["by"] == "Ada"
    assert evidence["fence"][0]["seen_down"] == 3
    assert evidence["erasures"] == [
        {"database": "OctopusDB", "users": 3, "rows_deleted": {"dbo.Octopus_Episodes": 41}, "rows_left": 0}
    ]
    assert evidence["orphans"][0]["collections_without_agent"] == ["agent_9"]
    assert evidence["conversations"] == [CONVERSATION]


def test_the_page_shows_what_was_asked_done_and_proven() -> None:
    run, made = proven()
    text = Page(report_html(report(run, made, point(), software="octopus-backup 9.9"))).text
    for said in (
        made.digest,
        made.id,
        "SHA-256 over the canonical JSON",
        "1,234,567",
        "approximate",
        "differs",
        "rp_1",
        "http://q1:6333: 20",
        "http://q0:6333: green",
        "Ada says that the Octopus API was stopped. Seen to be down 3 times",
        "Rows of 3 users were deleted again",
        "agent_9",
        "octopus-backup 9.9",
        made.losses[0],
        made.consistency,
        "2026-03-01T07:00:00Z",
        *(step.title for step in made.execution.steps),
    ):
        assert said in text, said


def test_the_page_needs_nothing_from_anywhere() -> None:
    page = Page(report_html(report(*proven(), point())))
    assert page.addresses == []
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)
    assert "@media print" in "".join(page.said)


@pytest.mark.parametrize("where", ["summary", "losses", "note", "table", "by", "reason", "error", "name"])
def test_a_hostile_name_is_shown_as_the_text_that_it_is(where: str) -> None:
    run, made = proven()
    said, at_point = verdict(), point()
    if where == "summary":
        made = made.model_copy(update={"summary": HOSTILE})
    elif where == "losses":
        made = made.model_copy(update={"losses": (HOSTILE,)})
    elif where == "note":
        run = changed_step(run, "sql_proof", note=HOSTILE)
    elif where == "table":
        tables = {HOSTILE: {"expected": 1, "quality": "exact", "found": 1}}
        run = changed_step(run, "sql_proof", evidence=COUNTS | {"tables": tables})
    elif where == "error":
        run = changed_step(run, "sql_proof", error=ERROR.model_copy(update={"message": HOSTILE}))
    elif where == "name":
        at_point = point(name=HOSTILE)
    else:
        changed: dict[str, Any] = {where: HOSTILE}
        said = verdict(**changed)
    page = report_html(report(run, made, at_point, verdicts=[said]))
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "<script>alert('x')</script>\"'&?gnirts?[31m" in Page(page).text


def test_a_manual_verdict_stands_beside_the_machines_and_never_in_its_place() -> None:
    made = plan()
    run = changed_step(
        a_run(made, State.FAILED, error=ERROR), "conversation", state=State.FAILED, error=ERROR
    )
    kept = report(run, made, point())
    shown = with_verdicts(kept, [verdict()])
    assert kept["manual_verdicts"] == []
    assert [item["verdict"] for item in shown["checklist"]] == ["passed"] * 4 + ["failed"]
    assert shown["verdict"] == "failed"
    assert shown["checklist"][4]["manual"][0]["by"] == "Grace"
    assert "Grace says PASSED (2026-03-01T08:00:00Z): I talked to it myself." in report_text(shown)
    page = Page(report_html(shown)).text
    assert "Manual verdict: passed , by Grace" in page
    assert "5. A conversation from end to end failed" in page


def test_ids_of_erased_users_are_on_no_page_whatever_the_plan_says() -> None:
    run, made = proven()
    made = made.model_copy(
        update={"request": {**made.request, "erase_users": ["canary-user-1", "canary-user-2"]}}
    )
    shown = report(run, made, point())
    assert shown["asked"]["request"]["erase_users"] == 2
    for form in (json.dumps(shown), report_html(shown), report_text(shown)):
        assert "canary" not in form


def test_a_check_has_the_checklist_and_no_plan() -> None:
    steps = (
        StepState(
            id="001-sql",
            title="Count the rows of OctopusDB",
            checklist=1,
            state=State.SUCCEEDED,
            evidence=COUNTS | {"database": "OctopusDB"},
        ),
        StepState(
            id="003-collections",
            title="Look at every collection",
            checklist=3,
            state=State.FAILED,
            error=ERROR,
            evidence={
                "collections": {
                    "agent_1": {
                        "expected": 4,
                        "quality": "exact",
                        "counted": {"q": 4},
                        "status": {"q": "red"},
                    }
                }
            },
        ),
        StepState(id="004-health", title="Ask", checklist=4, state=State.SKIPPED, note="left out"),
    )
    run = Run(
        id="RUN2",
        kind=RunKind.CHECK,
        title="Check of the environment",
        state=State.FAILED,
        started_at=at(7),
        heartbeat_at=at(7),
        finished_at=at(7),
        request={"from_step": 1},
        steps=steps,
        error=ERROR,
    )
    shown = report(run, None, point())
    assert (shown["kind"], shown["verdict"], shown["plan_id"]) == ("check", "failed", None)
    assert [item["verdict"] for item in shown["checklist"]] == [
        "passed",
        "skipped",
        "failed",
        "skipped",
        "skipped",
    ]
    assert shown["evidence"]["collections"][0]["status"] == {"q": "red"}
    text = report_text(shown)
    assert text.startswith("ENVIRONMENT CHECK RUN2: FAILED\n")
    assert "WHAT IS LOST" not in text
    page = Page(report_html(shown)).text
    assert "Environment check failed" in page
    assert "q: red" in page


def test_a_run_under_way_has_a_report_as_far_as_it_is() -> None:
    made = plan()
    run = changed_step(a_run(made, State.RUNNING, finished_at=None), "collection", state=State.RUNNING)
    assert "not finished" in Page(report_html(report(run, made, None))).text
