"""Plans with all that is known of them: as text for a terminal, and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from shared.model.backups import Kind
from shared.model.measures import Measure
from shared.model.plans import CollectionStep, Plan, Policy, SqlRestoreStep
from shared.planning.details import explain
from shared.planning.durations import History, measured
from shared.reporting import plan_text, plans_html, plans_text
from shared.reporting.plan_facts import by_words, expected_in_all, ranges
from tests.unit.planning.world import known, plan, request

LOGS = tuple(
    Measure(step_kind="sql_restore", backup_kind=Kind.LOG, size=1000, seconds=seconds)
    for seconds in (3.0, 4.0, 90.0)
)
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e]"


SOME = History(LOGS)


def explained(history: History = SOME, **changed: Any) -> Plan:
    return explain(plan(**changed), known(), history)


def both() -> list[Plan]:
    late = explained(policy=Policy.LATEST_SQL).model_copy(update={"id": "01KJJ0000000000000000000PN"})
    return [explained(), late]


def flat(text: str) -> str:
    return " ".join(text.split())


def with_history() -> History:
    steps = plan().execution.steps
    return History(measured(steps, {step.id: 60.0 for step in steps}))


def test_the_text_has_durations_needs_interruptions_statements_windows_and_other_ways() -> None:
    text = plan_text(explained())
    order = [
        "WHAT WILL HAPPEN",
        "WHAT IT NEEDS BESIDES",
        "IF IT IS CUT OFF",
        "STATEMENTS AND REQUESTS",
        "WHAT COULD BE RESTORED INSTEAD",
        "OTHER WAYS",
        "TO START IT",
    ]
    assert sorted(order, key=text.index) == order
    assert "about 4 s (median of 3 like steps, " in text
    assert "STOPATMARK = N'rp_1'" in text
    assert "octopus-backup plan latest --agent " in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_total_is_told_only_where_every_step_has_a_history() -> None:
    made = explained()
    without = sum(detail.expected_seconds is None for detail in made.details)
    assert expected_in_all(made) == f"at least 8 s; {without} of {len(made.details)} steps have no history"
    assert expected_in_all(explained(History())) == "cannot be known: no history"
    assert expected_in_all(explained(with_history())) == f"about {len(made.details) - 1} min"
    assert "Expected time: at least 8 s;" in flat(plan_text(made))


def test_what_is_said_of_many_steps_is_said_once() -> None:
    assert ranges([1]) == "001"
    assert ranges([1, 2, 3, 7, 9, 10]) == "001-003, 007, 009-010"
    made = explained()
    said = by_words(made.details, lambda detail: [detail.interrupted])
    assert len(said) == len({detail.interrupted for detail in made.details})


def test_forty_steps_are_still_readable() -> None:
    made = explained(with_history())
    last = next(s for s in made.execution.steps if isinstance(s, SqlRestoreStep) and s.last)
    detail = next(d for d in made.details if d.step_id == last.id)
    numbers = [f"{number:03}-sql_restore" for number in range(1, 41)]
    many = made.model_copy(
        update={
            "execution": made.execution.model_copy(
                update={"steps": tuple(last.model_copy(update={"id": one}) for one in numbers)}
            ),
            "details": tuple(detail.model_copy(update={"step_id": one}) for one in numbers),
        }
    )
    text = plan_text(many)
    assert text.count("those restored") + text.count("restored before it are kept") == 1
    assert "001-040: " in text
    assert len(text.splitlines()) < 40 * 6 + 70


def test_a_long_statement_is_cut_in_the_text_and_whole_on_the_page() -> None:
    made = explained()
    long = made.details[0].model_copy(update={"statement": "RESTORE " + "x" * 2000 + " its tail"})
    made = made.model_copy(update={"details": (long, *made.details[1:])})
    assert "its tail" not in plan_text(made)
    assert "its tail" in plans_html([made])


def test_two_plans_stand_beside_one_another_first() -> None:
    text = plans_text(both())
    table = text.split("=" * 100)[0]
    policy, at = (next(line for line in table.splitlines() if label in line) for label in ("Policy", "SQL S"))
    assert policy.split() == ["Policy", "paired", "latest_sql"]
    assert at.split("  ")[-1].strip() == "2026-03-01 06:00:00Z"
    assert "the last 2 h 24 min of SQL Server" in flat(table)
    assert text.count("RESTORE PLAN ") == 2
    assert all(len(line) <= 100 for line in text.splitlines())
    assert plans_text(both()[:1]) == plan_text(both()[0])


def test_a_side_that_stays_is_not_lost() -> None:
    alone = explained(asked=request(stores=["sqlserver"]), policy=Policy.LATEST_SQL)
    assert alone.vectors_at is None
    text = plans_text([alone, alone])
    assert "left as it is" in text
    assert "of vectors" not in text.split("=" * 100)[0]


class Page(HTMLParser):
    """A page as a browser understands it: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return flat(" ".join(self.words))


def test_the_page_holds_both_plans_with_every_step_and_loads_nothing() -> None:
    made = both()
    page = Page(plans_html(made))
    for one in made:
        assert one.id in page.text
        assert one.digest in page.text
        for detail in one.details:
            assert flat(detail.statement) in page.text
    assert not [tag for tag, _ in page.tags if tag in {"script", "link", "img", "iframe", "form"}]
    assert not [attrs for _, attrs in page.tags if attrs.keys() & {"src", "href", "onclick", "style"}]
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"url\(|@import", plans_html(made))


def test_hostile_names_are_words_on_the_page_and_nothing_else() -> None:
    made = explained(asked=request(in_place=True), databases={"OctopusDB": "ONLINE"})
    collection = next(s for s in made.execution.steps if isinstance(s, CollectionStep))
    bad = collection.model_copy(update={"title": HOSTILE})
    steps = tuple(bad if s is collection else s for s in made.execution.steps)
    state = made.execution.target_state.model_copy(update={"databases": {HOSTILE: HOSTILE}})
    execution = made.execution.model_copy(update={"steps": steps, "target_state": state})
    everywhere = {
        "summary": HOSTILE,
        "consistency": HOSTILE,
        "losses": (HOSTILE,),
        "space": {HOSTILE: 1},
        "windows": {HOSTILE: (HOSTILE,)},
        "execution": execution,
        "details": tuple(
            detail.model_copy(
                update={"statement": HOSTILE, "needs": (HOSTILE,), "overwrites": (HOSTILE,), "basis": HOSTILE}
            )
            for detail in made.details
        ),
        "alternatives": tuple(
            one.model_copy(update={"target": HOSTILE, "sentence": HOSTILE}) for one in made.alternatives
        ),
        "chosen": tuple(one.model_copy(update={"reason": HOSTILE}) for one in made.chosen),
        "rejected": tuple(one.model_copy(update={"reason": HOSTILE}) for one in made.chosen),
    }
    bad_plan = made.model_copy(update=everywhere)
    html = plans_html([bad_plan, bad_plan])
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>\"'&?[31m?]" in page.text
    assert not re.search("[\x1b\u202e]", html)
    assert not re.search("[\x1b\u202e]", plans_text([bad_plan, bad_plan]))


def test_a_plan_that_must_not_be_started_shows_no_command() -> None:
    made = explained(asked=request(confirm_space=False))
    html = plans_html([made])
    assert "STOP:" in html
    assert "octopus-backup restore" not in html
    assert "NO: see what says STOP" in html


def test_a_plan_of_an_older_version_without_details_is_shown_all_the_same() -> None:
    bare = plan()
    assert bare.execution.steps[0].title in plan_text(bare)
    assert Page(plans_html([bare])).text.count(flat(bare.execution.steps[-1].title)) == 1
