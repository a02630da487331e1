"""What people read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from shared.model.findings import ErrorInfo, Finding, Severity
from shared.model.plans import Plan
from shared.model.runs import Run, RunKind, State, StepState
from shared.reporting import plan_text, report, report_text, run_text
from tests.unit.planning.world import at, plan, point, request

HOSTILE = "\x1b[31mred\n\u202eevil"


def flat(text: str) -> str:
    return " ".join(text.split())


def narrow(text: str) -> bool:
    return all(len(line) <= 100 for line in text.splitlines())


def test_a_plan_says_what_happens_what_is_lost_and_how_to_start_it() -> None:
    made = plan()
    text = plan_text(made)
    order = [
        "WHAT IS CONSISTENT WITH WHAT",
        "WHAT IS LOST",
        "WHAT IS OVERWRITTEN",
        "WHAT WILL HAPPEN",
        "SPACE NEEDED",
        "TO START IT",
    ]
    assert sorted(order, key=text.index) == order
    assert "Nothing: every target name is free." in text
    assert f"octopus-backup restore {made.id} \\\n      --digest {made.digest}" in text
    assert narrow(text)
    for step in made.execution.steps:
        assert f"  {step.id[:3]}  " in text
    for loss in made.losses:
        assert loss in flat(text)


def test_the_body_that_starts_a_plan_is_json() -> None:
    made = plan()
    body = plan_text(made).split("with the body:")[1]
    assert json.loads(body) == {"plan_id": made.id, "digest": made.digest}


def test_what_stops_a_plan_stands_first_and_hides_the_command() -> None:
    made = plan(request(confirm_space=False, in_place=True), databases={"OctopusDB": "ONLINE"})
    text = plan_text(made)
    assert text.index("STOP: ") < text.index("WARNING: ") < text.index("WHAT IS LOST")
    assert made.digest not in text
    assert "Database OctopusDB, which is ONLINE at present." in text


def test_an_alias_that_is_moved_is_among_what_is_overwritten() -> None:
    moved, kept = plan().execution.target_state.aliases
    right = moved.removeprefix("alias_")
    text = flat(plan_text(plan(request(in_place=True), aliases={moved: "other"})))
    assert f"Alias {moved}, which stands for other at present." in text
    assert f"Alias {kept}," not in text
    assert "Nothing: every" in plan_text(plan(request(in_place=True), aliases={moved: right}))


def test_rejected_backups_are_explained() -> None:
    made = plan()
    assert "BACKUPS CONSIDERED" not in plan_text(made)
    left = made.chosen[0].model_copy(update={"reason": "it is damaged"})
    assert "it is damaged" in plan_text(made.model_copy(update={"rejected": (left,)}))


def test_a_plan_without_losses_and_space_says_nothing_of_them() -> None:
    made = plan().model_copy(update={"losses": (), "space": {}})
    text = plan_text(made)
    assert "WHAT IS LOST\n  Nothing." in text
    assert "SPACE NEEDED" not in text


def test_hostile_names_cannot_command_a_terminal() -> None:
    made = plan(request(names={"OctopusDB": "Copy"}))
    text = plan_text(made.model_copy(update={"summary": HOSTILE}))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "?[31mred?" in text


def a_run(made: Plan, state: State = State.SUCCEEDED, **changed: Any) -> Run:
    steps = tuple(
        StepState(
            id=step.id,
            title=step.title,
            checklist=step.checklist,
            state=State.SUCCEEDED,
            started_at=at(7),
            finished_at=at(7) + timedelta(seconds=10),
            evidence={"rows": 3, "nothing": None},
        )
        for step in made.execution.steps
    )
    values: dict[str, Any] = {
        "id": "RUN1",
        "kind": RunKind.RESTORE,
        "title": "Restore",
        "state": state,
        "started_at": at(7),
        "heartbeat_at": at(7.1),
        "finished_at": at(7) + timedelta(minutes=3, seconds=5),
        "steps": steps,
    }
    return Run(**values | changed)


ERROR = ErrorInfo(code="proof_failed", message="Counts differ.", meaning="Do not use it.", hint="Compare.")


def changed_step(run: Run, kind: str, **changed: Any) -> Run:
    steps = [step.model_copy(update=changed) if kind in step.id else step for step in run.steps]
    return run.model_copy(update={"steps": tuple(steps)})


def verdicts(shown: dict[str, Any]) -> list[str]:
    return [item["verdict"] for item in shown["checklist"]]


def test_a_good_restore_passes_all_five_items() -> None:
    made = plan()
    shown = report(a_run(made), made, point())
    assert verdicts(shown) == ["passed"] * 5
    assert (shown["verdict"], shown["seconds"]) == ("passed", 185.0)
    assert [item["number"] for item in shown["checklist"]] == [1, 2, 3, 4, 5]
    assert shown["recovery_point"]["marks"] == ["rp_1"]
    assert shown["checklist"][0]["steps"][0]["evidence"] == {"rows": 3, "nothing": None}
    assert json.loads(json.dumps(shown)) == shown


def test_the_report_for_reading_has_the_items_their_evidence_and_the_losses() -> None:
    made = plan()
    text = report_text(report(a_run(made), made, point()))
    assert "RESTORE REPORT RUN1: PASSED" in text
    assert "1. SQL Server restored: PASSED (1 min)" in text
    assert "rows: 3" in text
    assert "nothing" not in text.split("WHAT IS")[0]
    assert "took 3 min 5 s" in text
    assert made.losses[0] in flat(text)
    assert narrow(text)


def test_an_item_that_failed_is_shown_with_its_error() -> None:
    made = plan()
    run = changed_step(a_run(made, State.FAILED, error=ERROR), "sql_proof", state=State.FAILED, error=ERROR)
    run = changed_step(
        run, "migrations", state=State.PENDING, started_at=None, finished_at=None, note="waits"
    )
    shown = report(run, made, point())
    assert verdicts(shown)[:2] == ["failed", "not_reached"]
    assert shown["verdict"] == "failed"
    text = report_text(shown)
    assert "WHAT WENT WRONG" in text
    assert "Counts differ." in text
    assert "2. EF Core migrations checked: NOT REACHED" in text
    assert "waits" in text


def test_items_without_a_step_are_skipped_and_say_so() -> None:
    made = plan(octopus_api=False)
    shown = report(a_run(made), made, None)
    assert verdicts(shown)[3:] == ["skipped", "skipped"]
    assert shown["recovery_point"] is None
    text = report_text(shown)
    assert "There is no step for it." in text
    assert "octopus_api_not_configured" in text


def test_a_run_under_way_has_no_verdict_yet() -> None:
    made = plan()
    run = changed_step(a_run(made, State.RUNNING, finished_at=None), "collection", state=State.RUNNING)
    shown = report(run, made, point())
    assert (shown["verdict"], shown["seconds"], verdicts(shown)[2]) == ("not_finished", None, "not_reached")
    assert "NOT_FINISHED" in report_text(shown)


def test_long_evidence_is_cut_in_the_text_only() -> None:
    made = plan()
    run = changed_step(a_run(made), "sql_proof", evidence={"tables": ["t" * 50] * 50, "said": "plain"})
    shown = report(run, made, point())
    assert "whole in the JSON report" in report_text(shown)
    assert "said: plain" in report_text(shown)
    assert any(len(json.dumps(step["evidence"])) > 2000 for step in shown["checklist"][0]["steps"])


def test_a_report_of_an_in_place_restore_has_the_aftermath_and_no_empty_losses() -> None:
    made = plan(request(in_place=True), databases={"OctopusDB": "ONLINE"}).model_copy(update={"losses": ()})
    shown = report(a_run(made), made, point())
    assert "in full at once" in shown["other_steps"][-1]["title"]
    text = report_text(shown)
    assert "Back up OctopusDB in full at once" in text
    assert "WHAT IS LOST\n  Nothing." in text


def test_a_run_is_shown_with_its_steps() -> None:
    made = plan()
    finding = Finding(code="odd", severity=Severity.INFO, message="Odd.", hint="Look.")
    run = a_run(made, State.FAILED, error=ERROR, findings=(finding,), attempt=2)
    run = changed_step(run, "sql_proof", state=State.FAILED, error=ERROR)
    run = changed_step(run, "health", state=State.RUNNING, percent=40, finished_at=None, note="asks again")
    text = run_text(run)
    assert "Restore (run RUN1): FAILED" in text
    assert "took 3 min 5 s. Attempt 2." in text
    assert "FAIL  Compare the marker row" in text
    assert "(40 %, asks again)" in flat(text)
    assert "[proof_failed]" in text
    assert "Odd. Look. [odd]" in text
    assert narrow(text)


def test_a_run_that_goes_on_tells_when_it_was_last_heard_of() -> None:
    text = run_text(a_run(plan(), State.RUNNING, finished_at=None))
    assert "last heard of 2026-03-01 07:06:00Z" in text
    assert "WHAT WENT WRONG" not in text
