"""What can be aimed at: a time and the latest, under both policies, and what each of them loses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.octopus import truth
from shared.errors import InvalidRequestError, NotFoundError, NothingToRestoreError
from shared.model.backups import Kind
from shared.model.plans import OrphansStep
from shared.model.requests import BackupRequest, PointRequest
from shared.reporting import plan_text
from shared.workflows import starts
from tests.world import LATER, World


def test_a_time_is_answered_with_a_plan_per_policy_and_each_says_what_it_loses(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    at_the_point = world.truth()
    world.work("between the point and the target")
    at_the_target = world.truth()
    target = world.moment()
    world.work("after the target")
    world.back_up(Kind.LOG)
    world.lose_everything()

    paired, latest = world.plans({"time": target.isoformat()})
    assert (paired.execution.policy, latest.execution.policy) == ("paired", "latest_sql")
    assert paired.digest != latest.digest
    assert paired.losses
    assert latest.losses

    world.restore(latest)
    found = world.truth()
    assert truth.differences(at_the_target, found) == []
    assert truth.unknown_agents(found) == []
    world.lose_everything()

    world.restore(paired)
    assert truth.differences(at_the_point, world.truth()) == []


def test_latest_sql_brings_back_an_agent_that_came_after_the_vectors(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    old_vectors = world.truth().collections
    newcomer = world.add_agent(LATER)
    world.back_up(Kind.LOG)
    tables = world.truth().tables
    world.lose_everything()

    plan = world.plan("latest", policy="latest_sql")
    run = world.restore(plan)

    found = world.truth()
    assert truth.differences(truth.Truth(tables, old_vectors), found) == []
    assert truth.unknown_agents(found) == []
    (orphans,) = [step for step in plan.execution.steps if isinstance(step, OrphansStep)]
    assert run.step(orphans.id).evidence["agents_without_collection"] == [str(newcomer.id)]
    assert any(str(newcomer.id) in loss or "re-index" in loss or "index" in loss for loss in plan.losses)


def test_a_policy_that_leads_nowhere_is_named_in_the_plan_of_the_other(world: World) -> None:
    world.back_up(Kind.FULL)
    start = starts.start_point(world.system, PointRequest())
    bad = world.collections()[0]
    world.fault(status=500, match=f"POST /collections/{bad}/snapshots", times=50)
    world.run(start)  # an incomplete point: nothing to pair, and no set that could be trusted
    set_id = world.system.catalogue.backups.set_hints()[0].id
    (name,) = [one for one in world.blobs("catalogue", "backups/qdrant/") if set_id in one]
    world.delete_blob("catalogue", name)
    (plan,) = world.plans("latest")
    assert plan.execution.policy == "latest_sql"
    (finding,) = [one for one in plan.findings if one.code == "policy_impossible"]
    assert "paired" in finding.message
    assert "no plan under the policy paired" in " ".join(plan_text(plan).split())


def test_paired_latest_goes_back_to_the_newest_complete_point(world: World) -> None:
    world.back_up(Kind.FULL)
    world.make_point()
    world.work()
    newest = world.make_point()
    expected = world.truth()
    world.add_agent(LATER)
    world.back_up(Kind.LOG)
    world.lose_everything()

    plan = world.plan("latest", policy="paired")
    assert plan.execution.target.recovery_point_id == newest.id
    world.restore(plan)
    assert truth.differences(expected, world.truth()) == []


def test_targets_that_lead_nowhere_are_refused_with_a_code_each(world: World) -> None:
    def refusal(target: object, **more: object) -> str:
        with pytest.raises(InvalidRequestError) as refused:
            world.plans(target, **more)
        assert refused.value.hint
        return refused.value.specific_code

    now = world.clock.now()
    with pytest.raises(NothingToRestoreError):
        world.plans("latest")
    with pytest.raises(NotFoundError):
        world.plans({"recovery_point": "never made"})
    before = world.moment()
    world.back_up(Kind.FULL)
    world.make_point()
    tomorrow = (now + timedelta(days=1)).isoformat()
    assert refusal({"time": before.isoformat()}) == "target_before_first_backup"
    assert refusal({"time": tomorrow}) == "target_in_the_future"
    assert refusal({"recovery_point": "../../x"}) == "recovery_point_unknown"


def test_a_database_in_simple_recovery_has_no_log_to_back_up_and_says_so(world: World) -> None:
    world.back_up(Kind.FULL)
    with world.admin() as master:
        master.execute(f"ALTER DATABASE [{world.database}] SET RECOVERY SIMPLE")
    run = world.run(starts.start_backup(world.system, BackupRequest(kind=Kind.LOG)))
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.code != "unexpected"
    assert run.error.hint


def test_a_log_or_differential_without_a_full_backup_fails_with_a_hint(world: World) -> None:
    kinds: tuple[Kind, ...] = (Kind.DIFFERENTIAL, Kind.LOG)
    for kind in kinds:
        run = world.run(starts.start_backup(world.system, BackupRequest.model_validate({"kind": kind})))
        assert run.state == "failed"
        assert run.error is not None
        assert run.error.hint
        assert "full" in f"{run.error.message} {run.error.hint}".lower()
