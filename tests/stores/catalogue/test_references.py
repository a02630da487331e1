"""What drills counted stands in for counts that are only approximate, and for no others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.model.backups import Count, Quality
from shared.model.drills import Reference
from shared.model.points import RecoveryPoint, SqlSide
from tests.stores.catalogue.samples import START, point, ulid_at

ROUGH = Count(value=100, quality=Quality.APPROXIMATE, low=90, high=110)
EXACT = Count(value=3, quality=Quality.EXACT)


def pair(name: str, **tables: Count) -> RecoveryPoint:
    side = SqlSide(
        server="sql",
        database="OctopusDB",
        mark_name="rp_1",
        mark_lsn=1,
        at=START,
        log_backup_id="L",
        tables=tables,
    )
    return point(name, at=START + timedelta(minutes=len(name))).model_copy(update={"sql": (side,)})


def reference(of: RecoveryPoint, low: int = 0, database: str = "OctopusDB", **rows: int) -> Reference:
    run_id = ulid_at(START + timedelta(hours=1), low)
    return Reference(point_id=of.id, run_id=run_id, counted_at=START, databases={database: rows})


def counts(catalogue: Catalogue, made: RecoveryPoint) -> dict[str, Count]:
    """As they are read, in whichever way."""
    read = catalogue.points.get(made.id)
    assert catalogue.points.all() == [read]
    return dict(read.sql[0].tables)


def test_what_was_counted_replaces_what_was_approximate_and_nothing_else(catalogue: Catalogue) -> None:
    made = pair("x", rough=ROUGH, exact=EXACT, uncounted=ROUGH)
    catalogue.points.commit(made)
    assert counts(catalogue, made) == {"rough": ROUGH, "exact": EXACT, "uncounted": ROUGH}
    catalogue.references.add(reference(made, rough=104, exact=4, unknown=7))
    assert counts(catalogue, made) == {
        "rough": Count(value=104, quality=Quality.REFERENCE),
        "exact": EXACT,
        "uncounted": ROUGH,
    }


def test_the_point_itself_is_not_edited(catalogue: Catalogue, storage: Storage) -> None:
    made = pair("x", rough=ROUGH)
    catalogue.points.commit(made)
    blob = storage.container(paths.CATALOGUE).get_blob_client(paths.recovery_point(made.id))
    before = blob.get_blob_properties().etag
    catalogue.references.add(reference(made, rough=104))
    assert blob.get_blob_properties().etag == before


def test_of_several_drills_the_first_one_counts(catalogue: Catalogue) -> None:
    made = pair("x", rough=ROUGH)
    catalogue.points.commit(made)
    for low, rows in ((2, 106), (1, 104), (3, 108)):
        catalogue.references.add(reference(made, low, rough=rows))
    assert counts(catalogue, made)["rough"].value == 104


@pytest.mark.parametrize("database", ["Other", ""])
def test_another_database_or_another_point_learns_nothing(catalogue: Catalogue, database: str) -> None:
    made, other = pair("x", rough=ROUGH), pair("another", rough=ROUGH)
    catalogue.points.commit(made)
    stray = reference(made, database=database, rough=104) if database else reference(other, rough=104)
    catalogue.references.add(stray)
    assert counts(catalogue, made)["rough"] == ROUGH


def test_a_run_may_add_its_reference_twice(catalogue: Catalogue) -> None:
    made = pair("x", rough=ROUGH)
    catalogue.points.commit(made)
    for rows in (104, 105):
        catalogue.references.add(reference(made, rough=rows))
    assert counts(catalogue, made)["rough"].value == 104
