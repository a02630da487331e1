"""However a recovery point is interrupted and resumed, its mark is later than every snapshot in it."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from local.octopus import truth
from shared.errors import ConflictError, IntegrityError, StoreError
from shared.model.backups import Kind, QdrantFacts
from shared.model.points import RecoveryPoint
from shared.model.requests import PointRequest
from shared.workflows import points, starts
from shared.workflows.point_commit import DRAFT
from shared.workflows.point_marks import mark_key
from shared.workflows.runs import Start, Ticket
from tests.world import LATER, World

MOMENTS = [
    ("list_snapshots", 1, True),
    ("list_snapshots", 1, False),
    ("take_snapshot", 1, True),
    ("take_snapshot", 1, False),
    ("take_snapshot", 2, False),
    ("end_snapshots", 1, False),
    ("commit_snapshot_set", 1, True),
    ("commit_snapshot_set", 1, False),
    ("set_mark", 1, True),
    ("set_mark", 1, False),
    ("back_up_database", 1, True),
    ("back_up_database", 1, False),
    ("commit_point", 1, True),
    ("commit_point", 1, False),
]


def demand_order(world: World, point: RecoveryPoint) -> None:
    """By the marker row, which SQL Server wrote with its own clock: that of the machine, like ours."""
    facts = world.system.catalogue.backups.get(point.vectors.snapshot_set_id).facts
    assert isinstance(facts, QdrantFacts)
    ended = max(part.finished_at for part in facts.parts)
    assert point.vectors.finished_at == ended
    with world.admin() as master:
        rows = master.execute(
            f"SELECT MarkName, MarkedAt FROM [{world.database}].octopus_backup.RecoveryPoint "
            "WHERE PointId = ? ORDER BY MarkedAt DESC, MarkName DESC",
            point.id,
        ).fetchall()
    newest, marked_at = rows[0]
    assert newest == point.sql[0].mark_name
    assert marked_at.replace(tzinfo=UTC) + timedelta(milliseconds=1) >= ended  # datetime2(3)


@pytest.mark.parametrize(("activity", "nth", "before"), MOMENTS)
def test_a_resumed_run_never_pairs_a_mark_older_than_the_vectors(
    world: World, monkeypatch: pytest.MonkeyPatch, activity: str, nth: int, before: bool
) -> None:
    monkeypatch.setattr(points, "WINDOW", 1)
    world.back_up(Kind.FULL)
    first = starts.start_point(world.system, PointRequest())
    world.crash(first, activity, nth=nth, before=before)
    world.add_agent(LATER)

    run = world.run(world.again(first))

    assert run.state == "succeeded", run.error
    (point,) = world.system.catalogue.points.all()
    assert point.complete
    demand_order(world, point)


def test_a_snapshot_that_is_taken_after_the_crash_is_still_older_than_the_mark(world: World) -> None:
    """The first attempt failed at a collection, the second takes it anew: then the mark is made."""
    world.back_up(Kind.FULL)
    bad = world.collections()[0]
    world.fault(status=500, match=f"POST /collections/{bad}/snapshots", times=3)
    (slot,) = [
        one for one in starts.tick(world.system, "recovery_point") if one.payload["timer"] == "recovery_point"
    ]
    first = world.run(slot)
    assert first.error is not None
    assert first.error.code == "snapshots_failed"
    assert first.step("mark").state == "pending"
    world.qdrant.delete("/_standin/faults")
    newcomer = world.add_agent(LATER)

    run = world.run(world.again(slot))

    assert run.state == "succeeded", run.error
    (point,) = world.system.catalogue.points.all()
    demand_order(world, point)
    assert str(newcomer.id) in point.sql[0].agents
    world.lose_everything()
    world.restore(world.plan({"recovery_point": point.id}))
    assert truth.unknown_agents(world.truth()) == []


def begun(world: World, *steps: str) -> Start:
    """A point's run whose first activities are done, as the engine would call them."""
    start = starts.start_point(world.system, PointRequest())
    world.activity("begin_run")(start.payload)
    ticket = Ticket.of(start.payload).as_payload()
    for step in steps:
        world.activity(step)({**ticket, "step": STEP_OF.get(step, "snapshots"), "index": 0})
    return start


STEP_OF = {"commit_snapshot_set": "snapshot-set", "set_mark": "mark", "commit_point": "point"}


def ask(world: World, start: Start, activity: str) -> Any:
    ticket = Ticket.of(start.payload).as_payload(step=STEP_OF[activity])
    return world.activity(activity)(ticket)


def test_a_mark_is_refused_before_its_snapshots_are_committed(world: World) -> None:
    world.back_up(Kind.FULL)
    start = begun(world, "list_snapshots", "take_snapshot", "end_snapshots")
    with pytest.raises(StoreError) as refused:
        ask(world, start, "set_mark")
    assert refused.value.specific_code == "set_not_committed"
    with world.admin() as master:
        sql = f"SELECT COUNT(*) FROM [{world.database}].octopus_backup.RecoveryPoint"
        assert master.execute(sql).fetchval() == 0


def test_a_mark_of_other_snapshots_is_not_paired(world: World) -> None:
    world.back_up(Kind.FULL)
    start = begun(
        world, "list_snapshots", "take_snapshot", "end_snapshots", "commit_snapshot_set", "set_mark"
    )
    runs = world.system.catalogue.runs
    key = mark_key(world.look(start).step("mark").evidence["mark_name"])
    runs.save_part(start.run_id, key, {**runs.part(start.run_id, key), "snapshot_set_id": "of another run"})
    with pytest.raises(IntegrityError) as refused:
        ask(world, start, "commit_point")
    assert refused.value.specific_code == "mark_of_another_set"
    assert world.system.catalogue.points.all() == []


def test_an_attempt_that_wakes_up_late_cannot_put_its_mark_in_the_later_ones_place(world: World) -> None:
    world.back_up(Kind.FULL)
    start = starts.start_point(world.system, PointRequest())
    world.crash(start, "commit_snapshot_set")
    run = world.run(world.again(start))
    assert run.state == "succeeded", run.error
    with pytest.raises(ConflictError):
        ask(world, start, "set_mark")
    (point,) = world.system.catalogue.points.all()
    assert point.sql[0].mark_name == run.step("mark").evidence["mark_name"]


def test_a_commit_that_is_repeated_writes_the_very_same_scripts(world: World) -> None:
    """Its host died after the scripts, before the point; what was counted since then changes nothing."""
    world.back_up(Kind.FULL)
    with world.admin() as master:
        master.execute(f"USE [{world.database}]; DROP TABLE octopus_backup.RecoveryPoint;")
    start = starts.start_point(world.system, PointRequest())
    world.crash(start, "commit_point", before=True)
    commit = type(world.system.catalogue.points).commit
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(type(world.system.catalogue.points), "commit", _dead)
        failed = world.run(world.again(start))
    assert failed.state == "failed"
    scripts = {name: read(world, name) for name in world.blobs("catalogue", "recovery-points/")}
    assert len(scripts) == 2
    world.work("meanwhile")
    again = world.again(world.again(start))

    run = world.run(again)

    assert run.state == "succeeded", run.error
    assert type(world.system.catalogue.points).commit is commit
    (point,) = world.system.catalogue.points.all()
    assert {name: read(world, name) for name in scripts} == scripts
    kept = world.system.catalogue.runs.part(start.run_id, DRAFT)
    assert kept["point"]["id"] == point.id


def _dead(*_: Any, **__: Any) -> None:
    raise StoreError("The host is gone.")


def read(world: World, name: str) -> bytes:
    content: bytes = world.storage.get_blob_client("catalogue", name).download_blob().readall()
    return content
