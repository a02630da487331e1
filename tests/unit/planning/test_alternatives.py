"""Other ways: what is worth a word, and that the command it names leads there."""

from __future__ import annotations

from typing import Any

from shared.model.backups import Kind
from shared.model.plans import Alternative, Plan, PlanRequest, Policy, SqlRestoreStep
from shared.planning.alternatives import alternatives
from shared.planning.resolving import resolve
from tests.unit.planning.world import ALICE, at, known, plan, point, request, resolution


def time(hours: float, **more: Any) -> PlanRequest:
    return request(target={"time": at(hours).isoformat()}, **more)


def found(made: Plan, **changed: Any) -> tuple[Alternative, ...]:
    return alternatives(made, known(**changed))


def targets(made: Plan, **changed: Any) -> list[str]:
    return [one.target for one in found(made, **changed)]


def late(asked: PlanRequest) -> Plan:
    return plan(asked, policy=Policy.LATEST_SQL)


def test_a_time_between_two_points_is_offered_the_one_before() -> None:
    (first, *_) = found(late(time(5.5)))
    assert first.target == "POINT1"
    assert "54 min earlier" in first.sentence
    assert resolve(request(target={"recovery_point": first.target}), known(), at(7))


def test_a_paired_plan_for_a_time_names_the_point_that_it_restores() -> None:
    (first, *_) = found(plan(time(5.5)))
    assert first.target == "POINT1"
    assert "54 min before the time that was asked for" in first.sentence
    assert "POINT1" not in targets(plan(request(target={"recovery_point": "POINT1"})))


def test_a_point_soon_after_the_time_is_offered_and_a_distant_one_is_not() -> None:
    soon = point("POINT2", mark=5.75, ended=5.7, name="before v7")
    offered = [one for one in found(late(time(5.5)), points=[point(), soon]) if one.target == "POINT2"]
    assert len(offered) == 1
    assert "POINT2 (before v7) is only 15 min later" in offered[0].sentence
    distant = point("POINT2", mark=6.75, ended=6.7)
    assert "POINT2" not in targets(late(time(5.5)), points=[point(), distant])


def test_an_incomplete_point_is_never_offered() -> None:
    bad = point(complete=False, reasons=("one collection failed",))
    assert "POINT1" not in targets(late(time(5.5)), points=[bad])
    asked = request(target={"recovery_point": "POINT1"})
    made = plan(asked, resolution=resolution(asked, points=[bad]))
    good = point("POINT0", mark=4.4, ended=4.35)
    assert targets(made, points=[bad, good])[0] == "POINT0"


def test_the_newest_is_offered_its_newest_point() -> None:
    (first, *_) = found(late(request()))
    assert (first.target, "1 h 24 min earlier" in first.sentence) == ("POINT1", True)
    assert "POINT1" not in targets(plan(request()))


def test_the_other_policy_is_offered_where_one_was_asked_for() -> None:
    assert "latest --policy latest_sql" in targets(plan(request(policy="paired")))
    assert "latest --policy paired" in targets(late(request(policy="latest_sql")))
    assert not [one for one in targets(plan(request())) if one.startswith("latest --policy")]


def test_many_logs_are_offered_the_end_of_the_newest_data_backup() -> None:
    (offered,) = [one for one in found(late(request())) if "fewer are read" in one.sentence]
    assert offered.target == "2026-03-01T04:00:06Z --policy latest_sql"
    assert "2 logs (2.0 KiB) fewer" in offered.sentence
    moved = resolve(time(4 + 6 / 3600, policy="latest_sql"), known(points=[], sets=[]), at(7)).resolutions[0]
    (chain,) = moved.chains.values()
    assert [backup.kind for backup in chain.backups] == [Kind.FULL, Kind.DIFFERENTIAL, Kind.LOG]


def test_few_logs_are_no_reason_to_move_a_target() -> None:
    assert not [one for one in found(late(time(4.65))) if "fewer are read" in one.sentence]


def test_one_agent_is_offered_where_many_collections_are_restored() -> None:
    (offered,) = [one for one in found(plan()) if "--agent" in one.target]
    assert offered.target == f"latest --agent {ALICE}"
    asked = request(agents=[ALICE])
    one = plan(asked, policy=Policy.LATEST_SQL)
    assert not [other for other in targets(one) if "--agent" in other]


def test_in_place_and_side_by_side_are_offered_to_one_another() -> None:
    live = {"OctopusDB": "ONLINE"}
    beside = plan(request(), databases=live)
    inside = plan(request(in_place=True), databases=live)
    assert "latest --in-place" in targets(beside)
    assert "latest" in targets(inside)
    assert not {"latest", "latest --in-place"} & set(targets(plan()))  # nothing is there: no difference


def test_a_hostile_name_cannot_leave_its_word_on_the_command_line() -> None:
    name = "x; rm -rf /"
    named = point(name=name)
    asked = request(target={"recovery_point": name}, in_place=True)
    made = plan(asked, databases={"OctopusDB": "ONLINE"}, resolution=resolution(asked, points=[named]))
    for target in targets(made, points=[named]):
        assert name not in target.replace(f"'{name}'", "")


def test_vectors_alone_have_no_point_and_no_logs_to_move() -> None:
    made = plan(request(stores=["qdrant"]), policy=Policy.LATEST_SQL)
    assert not [one for one in found(made) if "earlier" in one.sentence or "fewer" in one.sentence]


def test_several_databases_are_not_moved_together() -> None:
    made = late(request())
    steps = made.execution.steps
    first = next(step for step in steps if isinstance(step, SqlRestoreStep))
    second = first.model_copy(update={"database": "Second", "target": "Second"})
    execution = made.execution.model_copy(update={"steps": (*steps, second)})
    assert "fewer are read" in " ".join(one.sentence for one in found(made))
    both = found(made.model_copy(update={"execution": execution}))
    assert "fewer are read" not in " ".join(one.sentence for one in both)
