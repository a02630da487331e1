"""What a recovery point holds and says of itself: name, pin, counts, clocks, agents, proof, reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import stamina

from local.octopus import truth
from shared.clock import SystemClock
from shared.errors import NotFoundError, SqlServerError, StoreError
from shared.model.backups import Kind, Quality
from shared.model.findings import Finding, Severity
from shared.model.points import RecoveryPoint
from shared.model.requests import BackupRequest, PointRequest
from shared.model.runs import Run
from shared.stores.sqlserver import SqlServerStore
from shared.workflows import looking, points, retrying, starts
from shared.workflows.runs import Start
from tests.world import LATER, World


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(points, "SECOND_PASS_SECONDS", 0.05)
    monkeypatch.setattr(retrying, "FIRST_DELAY_SECONDS", 0.05)
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def made(world: World, run: Run) -> RecoveryPoint:
    return world.system.catalogue.points.get(run.step("point").evidence["point_id"])


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in findings]


def failure_of(run: Run) -> str:
    """Why the mark was not set."""
    error = run.step("mark").error
    assert error is not None
    return error.code


def collection_of(world: World, agent: int) -> str:
    return f"agent_{world.memory.agents()[agent].id.hex}"


def delete_agent(world: World, collection: str, *, collection_too: bool) -> None:
    """Octopus deletes an agent; its collection goes with it, or a little later."""
    (agent,) = [one for one in world.memory.agents() if one.id.hex in collection]
    with world.admin() as master:
        for table in ("Procedures", "AgentMemoryConfig", "Conversations", "Episodes", "Agents"):
            sql = f"DELETE FROM [{world.database}].dbo.Octopus_{table} WHERE AgentId = ?"
            master.execute(sql, str(agent.id))
    if collection_too:
        world.qdrant.delete(f"/collections/{collection}").raise_for_status()


# Names and pins.


def test_a_persons_name_is_in_the_point_and_in_the_marks_description(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point("before v7 'and' ü")
    assert point.name == "before v7 'and' ü"
    with world.admin() as master:
        sql = "SELECT description FROM msdb.dbo.logmarkhistory WHERE mark_name = ?"
        assert master.execute(sql, point.sql[0].mark_name).fetchval() == "before v7 'and' ü"


def test_a_point_is_pinned_from_the_start_or_later_and_can_be_let_go(world: World) -> None:
    world.back_up(Kind.FULL)
    run = world.run(starts.start_point(world.system, PointRequest(name="kept", pinned=True)))
    kept = made(world, run)
    plain = world.make_point()
    assert (kept.pinned, plain.pinned) == (True, False)
    assert looking.pin(world.system, plain.id, pinned=True)["pinned"] is True
    assert looking.pin(world.system, "kept", pinned=False)["id"] == kept.id
    listed = looking.points(world.system)["recovery_points"]
    assert [(one["id"], one["pinned"]) for one in listed] == [(plain.id, True), (kept.id, False)]
    assert world.system.catalogue.points.get(plain.id).pinned
    with pytest.raises(NotFoundError):
        looking.pin(world.system, "nobody", pinned=True)
    assert len(world.blobs("state", "pins/")) == 2


# Counts and clocks.


def test_counts_are_approximate_by_design_where_nobody_wants_writers_to_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    assert {count.quality for count in world.make_point().sql[0].tables.values()} == {Quality.EXACT}
    monkeypatch.setenv("SQLSERVER_EXACT_COUNTS", "false")
    with world.aside() as modest:
        side = modest.make_point().sql[0]
    assert side.mark_name
    assert {count.quality for count in side.tables.values()} == {Quality.APPROXIMATE}
    assert all(count.low == count.value == count.high for count in side.tables.values())


class Shifted(SystemClock):
    """A clock of ours that is wrong."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


def test_the_offset_of_sql_servers_clock_is_measured_and_stored(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    side = point.sql[0]
    assert side.clock_offset_seconds is not None
    assert side.clock_uncertainty_seconds is not None
    assert abs(side.clock_offset_seconds) < 1.0  # one machine
    assert 0 < side.clock_uncertainty_seconds < 1.0
    assert "clocks_differ" not in codes(point.findings)


@pytest.mark.parametrize(("minutes", "way"), [(-20, "ahead of"), (20, "behind")])
def test_a_clock_that_is_far_off_is_told_and_breaks_neither_the_rule_nor_the_skew(
    world: World, minutes: int, way: str
) -> None:
    world.back_up(Kind.FULL)
    wrong = dataclasses.replace(world, clock=Shifted(timedelta(minutes=minutes)))
    point = wrong.make_point()
    offset = point.sql[0].clock_offset_seconds
    assert offset is not None
    assert abs(offset + minutes * 60) < 1.0
    (finding,) = [one for one in point.findings if one.code == "clocks_differ"]
    assert finding.severity is Severity.WARNING
    assert f"1,200 s {way} ours" in finding.message
    assert 0 < point.skew_seconds < 60
    plan = wrong.plan({"recovery_point": point.id})
    assert plan.execution.target.recovery_point_id == point.id
    wrong.close()


# Agents.


def test_collections_whose_agent_was_deleted_after_their_snapshot_are_tagged_and_not_restored(
    world: World,
) -> None:
    world.back_up(Kind.FULL)
    lost = collection_of(world, 0)
    commit = world.activity("commit_snapshot_set")

    def deleting(payload: dict[str, Any]) -> Any:
        delete_agent(world, lost, collection_too=True)
        return commit(payload)

    run = world.run(starts.start_point(world.system, PointRequest()), commit_snapshot_set=deleting)
    point = made(world, run)
    assert point.complete
    assert point.vectors.without_agent == (lost,)
    assert lost in point.vectors.collections
    (finding,) = [one for one in point.findings if one.code == "collections_without_agent"]
    assert lost in finding.message
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert lost not in world.collections()
    assert truth.unknown_agents(world.truth()) == []


def vanishing(world: World, start: Start, collection: str, *, agent_too: bool) -> Run:
    """A point whose collection is deleted between the list and its snapshot."""

    def deleting(payload: dict[str, Any]) -> Any:
        listed = world.activity("list_snapshots")(dict(payload))
        if agent_too:
            delete_agent(world, collection, collection_too=True)
        else:
            world.qdrant.delete(f"/collections/{collection}").raise_for_status()
        return listed

    return world.run(start, list_snapshots=deleting)


def test_a_collection_that_went_with_its_agent_makes_no_point_incomplete(world: World) -> None:
    world.back_up(Kind.FULL)
    gone, kept = collection_of(world, 0), collection_of(world, 1)
    run = vanishing(world, starts.start_point(world.system, PointRequest()), gone, agent_too=True)
    assert run.state == "succeeded", run.error
    point = made(world, run)
    assert point.complete
    assert list(point.vectors.collections) == [kept]
    (finding,) = [one for one in point.findings if one.code == "collections_gone"]
    assert gone in finding.message
    expected = world.truth()
    world.lose_everything()
    world.restore(world.plan("latest", policy="paired"))
    assert truth.differences(expected, world.truth()) == []


def test_a_slots_point_is_not_tried_again_for_a_collection_that_went_with_its_agent(world: World) -> None:
    world.back_up(Kind.FULL)
    (start,) = [
        one for one in starts.tick(world.system, "recovery_point") if one.payload["timer"] == "recovery_point"
    ]
    run = vanishing(world, start, collection_of(world, 0), agent_too=True)
    assert (run.state, run.attempt) == ("succeeded", 1), run.error


def test_a_collection_that_went_without_its_agent_is_a_reason(world: World) -> None:
    world.back_up(Kind.FULL)
    gone = collection_of(world, 0)
    point = made(
        world, vanishing(world, starts.start_point(world.system, PointRequest()), gone, agent_too=False)
    )
    assert not point.complete
    assert gone in point.reasons[0]


# Proof and reasons.


def test_that_the_mark_is_in_the_log_backup_is_proven_by_lsns(world: World) -> None:
    world.back_up(Kind.FULL)
    run = world.run(starts.start_point(world.system, PointRequest()))
    point = made(world, run)
    proof = world.system.catalogue.runs.whole(run).step("point").evidence["proof"][world.database]
    with world.admin() as master:
        sql = "SELECT lsn FROM msdb.dbo.logmarkhistory WHERE mark_name = ? AND database_name = ?"
        told = master.execute(sql, point.sql[0].mark_name, world.database).fetchval()
    assert int(proof["mark_lsn"]) == int(told) == point.sql[0].mark_lsn
    assert int(proof["log_first_lsn"]) <= int(told) < int(proof["log_last_lsn"])
    assert proof["log_backup_id"] == point.sql[0].log_backup_id


def test_a_point_whose_log_backup_failed_is_recorded_as_incomplete_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    start = starts.start_point(world.system, PointRequest(name="no log"))
    with monkeypatch.context() as broken:
        broken.setattr(SqlServerStore, "back_up", _no_space)
        run = world.run(start)
    assert run.state == "failed"
    point = world.system.catalogue.points.get("no log")
    assert not point.complete
    assert "holds the mark" in point.reasons[0]
    assert "no space" in point.reasons[0]
    assert point.sql == ()
    whole = world.make_point()
    assert world.plan("latest", policy="paired").execution.target.recovery_point_id == whole.id


def test_a_slots_point_whose_log_backup_failed_is_tried_again_with_the_same_mark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)

    def due() -> Start:
        (start,) = [
            one
            for one in starts.tick(world.system, "recovery_point")
            if one.payload["timer"] == "recovery_point"
        ]
        return start

    with monkeypatch.context() as broken:
        broken.setattr(SqlServerStore, "back_up", _no_space)
        first = world.run(due())
    assert first.state == "failed"
    assert world.system.catalogue.points.all() == []
    second = world.run(due())
    assert (second.state, second.attempt) == ("succeeded", 2), second.error
    (point,) = world.system.catalogue.points.all()
    assert point.complete
    assert point.sql[0].mark_name == first.step("mark").evidence["mark_name"]


def _no_space(*_: Any, **__: Any) -> None:
    raise StoreError("There is no space for it.")


def test_a_point_that_no_backups_lead_to_is_incomplete_and_says_why(world: World) -> None:
    """Somebody else's full backup lets the log be backed up, but is in no catalogue of ours."""
    with world.admin() as master:
        cursor = master.execute(
            f"BACKUP DATABASE [{world.database}] TO DISK = N'{world.servers.folder}/{world.database}.bak'"
        )
        while cursor.nextset():
            pass
    point = world.make_point(complete=False)
    assert "No backups lead to the point" in point.reasons[0]
    assert "full backup" in point.reasons[0]


def test_a_database_that_is_gone_or_simple_is_an_error_and_no_point_without_a_mark(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.back_up(Kind.FULL)
    monkeypatch.setenv("SQLSERVER_DATABASES", f"{world.database},Nowhere")
    with world.aside() as both:
        run = both.run(starts.start_point(both.system, PointRequest()))
    assert failure_of(run) == "database_missing"
    with world.admin() as master:
        master.execute(f"ALTER DATABASE [{world.database}] SET RECOVERY SIMPLE")
    simple = world.run(starts.start_point(world.system, PointRequest()))
    assert failure_of(simple) == "recovery_model_simple"
    assert world.system.catalogue.points.all() == []


def test_the_list_of_points_is_not_disturbed_by_the_scripts_beside_them(world: World) -> None:
    world.back_up(Kind.FULL)
    point = world.make_point()
    names = world.blobs("catalogue", "recovery-points/")
    assert names == [
        f"recovery-points/{point.id}.json",
        f"recovery-points/{point.id}/restore.sh",
        f"recovery-points/{point.id}/restore.sql",
    ]
    assert [one.id for one in world.system.catalogue.points.all()] == [point.id]


def test_a_newcomer_after_the_snapshots_is_known_at_the_point_but_has_no_vectors_in_it(world: World) -> None:
    world.back_up(Kind.FULL)
    commit = world.activity("commit_snapshot_set")
    newcomers = []

    def growing(payload: dict[str, Any]) -> Any:
        newcomers.append(world.add_agent(LATER))
        return commit(payload)

    run = world.run(starts.start_point(world.system, PointRequest()), commit_snapshot_set=growing)
    point = made(world, run)
    assert str(newcomers[0].id) in point.sql[0].agents
    assert f"agent_{newcomers[0].id.hex}" not in point.vectors.collections
    assert point.vectors.without_agent == ()


def test_backups_and_points_can_be_asked_for_while_one_is_made(world: World) -> None:
    world.back_up(Kind.FULL)
    start = starts.start_point(world.system, PointRequest())
    log = world.activity("set_mark")

    def with_a_log_between(payload: dict[str, Any]) -> Any:
        marked = log(payload)
        world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))
        return marked

    point = made(world, world.run(start, set_mark=with_a_log_between))
    assert point.complete
    hints = {hint.id: hint for hint in world.system.catalogue.backups.all_sql_hints()}
    held = hints[point.sql[0].log_backup_id]
    assert held.first_lsn <= (point.sql[0].mark_lsn or 0) < held.last_lsn
    assert world.system.catalogue.backups.get(held.id).run_id != point.run_id


def test_what_is_not_a_refusal_of_the_mark_stays_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any, **__: Any) -> None:
        raise SqlServerError("Locked for good.", 1222, code="lock_timeout")

    world.back_up(Kind.FULL)
    monkeypatch.setattr(SqlServerStore, "mark_where_allowed", locked)
    run = world.run(starts.start_point(world.system, PointRequest()))
    assert failure_of(run) == "lock_timeout"
    assert world.system.catalogue.points.all() == []
