"""Recovery points and restore plans: written once, found by id or by name."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest

from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.errors import AlreadyExistsError, IntegrityError, NotFoundError
from tests.stores.blob.support import Proxy, SetClock
from tests.stores.catalogue.samples import START, plan, point

DAY = timedelta(days=1)


def test_recovery_points_come_newest_first(catalogue: Catalogue) -> None:
    made = [point(at=START + days * DAY) for days in (1, 3, 2)]
    for one in made:
        catalogue.points.commit(one)
    assert [found.made_at.day for found in catalogue.points.all()] == [9, 8, 7]


def test_a_name_means_the_newest_point_that_has_it_and_an_id_that_very_point(catalogue: Catalogue) -> None:
    name = "before the migration é/\"'"
    old, new = point(name, at=START), point(name, at=START + DAY)
    for one in (new, old, point("other", at=START + 2 * DAY), point(at=START + 3 * DAY)):
        catalogue.points.commit(one)
    assert catalogue.points.get(name) == new
    assert catalogue.points.get(old.id) == old


def test_a_name_is_looked_up_without_reading_the_other_points(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    for days in range(5):
        catalogue.points.commit(point(f"day {days}", at=START + days * DAY))
    Catalogue(troubled, clock).points.get("day 2")
    assert sum(request.reads_blob for request in proxy.seen) == 3, "the name as an id, the point, its pin"


@pytest.mark.parametrize("wanted", ["", "none", "../plans/plan-1", "null", "x" * 3000])
def test_an_unknown_point_is_not_found(catalogue: Catalogue, wanted: str) -> None:
    catalogue.points.commit(point())
    with pytest.raises(NotFoundError, match="no recovery point"):
        catalogue.points.get(wanted)


def test_a_point_is_committed_again_by_its_own_run_only(catalogue: Catalogue) -> None:
    catalogue.points.commit(point())
    catalogue.points.commit(point())
    with pytest.raises(AlreadyExistsError):
        catalogue.points.commit(point(run_id="run-2"))


def test_a_damaged_point_is_left_out_of_the_list_and_named_in_the_log(
    catalogue: Catalogue, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = point(at=START), point(at=START + DAY)
    catalogue.points.commit(good)
    storage.client("catalogue", paths.recovery_point(bad.id)).upload_blob(json.dumps({"schema": 7}))
    with caplog.at_level(logging.WARNING, "shared"):
        assert catalogue.points.all() == [good]
    assert bad.id in caplog.text
    with pytest.raises(IntegrityError, match="schema 7"):
        catalogue.points.get(bad.id)


def test_what_a_person_said_last_is_whether_a_point_is_pinned(catalogue: Catalogue) -> None:
    born_pinned = point("kept", at=START).model_copy(update={"pinned": True})
    plain = point(at=START + DAY)
    for one in (born_pinned, plain):
        catalogue.points.commit(one)
    assert [found.pinned for found in catalogue.points.all()] == [False, True]
    assert catalogue.points.pin(plain.id, True, START).pinned
    assert not catalogue.points.pin("kept", False, START).pinned
    assert [found.pinned for found in catalogue.points.all()] == [True, False]
    assert [catalogue.points.get(one.id).pinned for one in (plain, born_pinned)] == [True, False]
    catalogue.points.pin("kept", True, START)
    assert catalogue.points.get("kept") == born_pinned


@pytest.mark.parametrize("wanted", ["", "none", "../plans/plan-1", "x" * 3000])
def test_only_a_point_that_exists_is_pinned(catalogue: Catalogue, storage: Storage, wanted: str) -> None:
    with pytest.raises(NotFoundError):
        catalogue.points.pin(wanted, True, START)
    assert list(storage.container("state").list_blob_names(name_starts_with="pins/")) == []


def test_scripts_lie_beside_their_point_are_written_once_and_are_no_points(
    catalogue: Catalogue, storage: Storage
) -> None:
    one = point()
    names = catalogue.points.add_scripts(one, {"restore.sql": "-- ü\n", "restore.sh": "#!/bin/sh\n"})
    assert names == [f"recovery-points/{one.id}/restore.sql", f"recovery-points/{one.id}/restore.sh"]
    assert storage.client("catalogue", names[0]).download_blob().readall().decode() == "-- ü\n"
    assert catalogue.points.add_scripts(one, {"restore.sql": "-- ü\n"}) == names[:1]
    with pytest.raises(AlreadyExistsError):
        catalogue.points.add_scripts(one, {"restore.sql": "something else"})
    assert catalogue.points.all() == []
    catalogue.points.commit(one)
    assert catalogue.points.all() == [one]


def test_a_plan_is_kept_as_it_was_shown(catalogue: Catalogue) -> None:
    catalogue.plans.save(plan())
    catalogue.plans.save(plan())
    found = catalogue.plans.get("plan-1")
    assert found == plan()
    assert found.execution.digest() == found.digest


def test_another_plan_cannot_take_its_id(catalogue: Catalogue) -> None:
    catalogue.plans.save(plan())
    with pytest.raises(AlreadyExistsError):
        catalogue.plans.save(plan(settings="0" * 16))


@pytest.mark.parametrize("plan_id", ["", "none", "../runs/backup/x", "é" * 3000])
def test_an_unknown_plan_is_not_found(catalogue: Catalogue, plan_id: str) -> None:
    with pytest.raises(NotFoundError, match="no plan"):
        catalogue.plans.get(plan_id)
