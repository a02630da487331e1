"""What keeps a year's catalogue quick: outlines of points, the newest days, suspects, measured runs."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from shared.blob.storage import Storage
from shared.catalogue import Catalogue, paths
from shared.catalogue.backups import HINT
from shared.catalogue.measures import NEWEST
from shared.catalogue.points import outline
from shared.errors import IntegrityError
from shared.model.backups import Count, Kind, Quality
from shared.model.findings import Finding, Severity
from shared.model.measures import Measure, Measures
from shared.model.points import RecoveryPoint, SqlSide
from tests.stores.blob.support import Proxy, SetClock
from tests.stores.catalogue.samples import START, point, snapshot_set, sql_backup, ulid_at, verification

DAY = timedelta(days=1)
COUNTED = Count(value=5, quality=Quality.EXACT)


def full_point(name: str | None = None, *, days: int = 0, **changed: Any) -> RecoveryPoint:
    """A point with everything that an outline leaves out."""
    at = START + days * DAY
    bare = point(name, at=at)
    side = SqlSide(
        server="sql-1",
        database="OctopusDB",
        mark_name="rp_1",
        mark_lsn=10**24,
        at=at,
        log_backup_id="L1",
        tables={f"dbo.Octopus_{number}": COUNTED for number in range(300)},
        agents=tuple(f"agent-{number}" for number in range(1000)),
    )
    vectors = bare.vectors.model_copy(update={"collections": {f"c{n}": COUNTED for n in range(1000)}})
    finding = Finding(code="odd", severity=Severity.INFO, message="Odd.")
    whole = {"sql": (side,), "vectors": vectors, "findings": (finding,)}
    return bare.model_copy(update=whole | changed)


def test_outlines_are_told_by_one_listing_and_the_chosen_one_is_read(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    made = [full_point(f"day {days}", days=days) for days in range(3)]
    for one in made:
        catalogue.points.commit(one)
    points = Catalogue(troubled, clock).points
    found = points.outlines()
    assert not any(request.reads_blob for request in proxy.seen)
    assert found == [outline(one) for one in reversed(made)]
    assert (found[0].name, found[0].sql[0].mark_lsn, found[0].sql[0].agents) == ("day 2", 10**24, ())
    assert points.behind(found[0]) == made[2]


@pytest.mark.parametrize("metadata", [{}, {HINT: "{"}, {HINT: '"an old name"'}, {HINT: "null"}])
def test_a_point_whose_hint_was_lost_is_read_instead(
    catalogue: Catalogue, storage: Storage, metadata: dict[str, str]
) -> None:
    made = full_point("named")
    catalogue.points.commit(made)
    storage.client("catalogue", paths.recovery_point(made.id)).set_blob_metadata(metadata)
    assert catalogue.points.outlines() == [outline(made)]
    assert catalogue.points.get("named") == made


def test_a_point_that_says_too_much_for_metadata_is_read_instead(
    catalogue: Catalogue, storage: Storage
) -> None:
    side = full_point().sql[0]
    many = tuple(side.model_copy(update={"database": f"Database {n}"}) for n in range(60))
    made = full_point("\U0001f600" * 100, sql=many)
    catalogue.points.commit(made)
    blob = storage.client("catalogue", paths.recovery_point(made.id)).get_blob_properties()
    assert HINT not in blob.metadata
    assert catalogue.points.outlines() == [outline(made)]


def test_a_damaged_point_without_a_hint_does_not_hide_the_others(
    catalogue: Catalogue, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    good = full_point(days=1)
    catalogue.points.commit(good)
    storage.client("catalogue", paths.recovery_point(ulid_at(START))).upload_blob(json.dumps({"schema": 7}))
    with caplog.at_level(logging.WARNING, "shared"):
        assert catalogue.points.outlines() == [outline(good)]
    assert ulid_at(START) in caplog.text


def test_an_outline_that_says_something_else_than_its_document_is_refused(
    catalogue: Catalogue, storage: Storage
) -> None:
    made = full_point(complete=False, reasons=("a collection failed",))
    catalogue.points.commit(made)
    better = outline(made).model_copy(update={"complete": True, "reasons": ()})
    hint = json.dumps(better.as_json(), separators=(",", ":"))
    storage.client("catalogue", paths.recovery_point(made.id)).set_blob_metadata({HINT: hint})
    (found,) = catalogue.points.outlines()
    with pytest.raises(IntegrityError, match="something else"):
        catalogue.points.behind(found)


def test_what_was_learnt_of_a_point_since_it_was_listed_stays_with_the_whole_one(
    catalogue: Catalogue,
) -> None:
    catalogue.points.commit(full_point())
    (listed,) = catalogue.points.outlines()
    given_up = listed.model_copy(update={"complete": False, "reasons": ("its set is damaged",)})
    found = catalogue.points.behind(given_up)
    assert (found.complete, found.reasons) == (False, ("its set is damaged",))
    assert found.sql[0].agents


def test_a_pin_does_not_make_an_outline_wrong(catalogue: Catalogue, clock: SetClock) -> None:
    made = full_point()
    catalogue.points.commit(made)
    catalogue.points.pin(made.id, True, clock.now())
    assert catalogue.points.behind(catalogue.points.outlines()[0]).pinned


def test_the_newest_points_are_read_and_no_others(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    for days in range(5):
        catalogue.points.commit(full_point(days=days))
    found = Catalogue(troubled, clock).points.newest(2)
    assert [one.made_at for one in found] == [START + 4 * DAY, START + 3 * DAY]
    assert sum(request.reads_blob for request in proxy.seen) == 2


class TestNewestHints:
    """How far the log of a fork is held is told by some days, not by a year."""

    def commit(
        self, catalogue: Catalogue, days_ago: float, low: int, fork: str, kind: Kind = Kind.LOG
    ) -> str:
        made = sql_backup(at=self.now - days_ago * DAY, low=low, kind=kind)
        facts = made.facts.model_copy(update={"last_recovery_fork_guid": fork})
        catalogue.backups.commit(made.model_copy(update={"facts": facts}))
        return made.id

    now = START + 100 * DAY

    def found(self, catalogue: Catalogue, fork: str) -> list[str]:
        newest = catalogue.backups.newest_sql_hints("sql-1", "OctopusDB", fork, self.now)
        return [hint.id for hint in newest]

    def test_the_last_days_are_enough_where_the_fork_is_among_them(self, catalogue: Catalogue) -> None:
        self.commit(catalogue, 50, 1, "A")
        yesterday = self.commit(catalogue, 1, 2, "A", Kind.FULL)
        today = self.commit(catalogue, 0.01, 3, "A")
        assert self.found(catalogue, "A") == [yesterday, today]

    def test_after_a_pause_more_days_are_looked_at_and_then_all(self, catalogue: Catalogue) -> None:
        old = self.commit(catalogue, 50, 1, "OLD")
        week = self.commit(catalogue, 6, 2, "WEEK")
        today = self.commit(catalogue, 0.01, 3, "NOW")
        assert self.found(catalogue, "NOW") == [today]
        assert self.found(catalogue, "WEEK") == [week, today]
        assert self.found(catalogue, "OLD") == [old, week, today]
        assert self.found(catalogue, "NEVER") == [old, week, today]

    def test_an_id_of_a_clock_that_is_ahead_is_found(self, catalogue: Catalogue) -> None:
        tomorrow = self.commit(catalogue, -0.99, 1, "A")
        assert self.found(catalogue, "A") == [tomorrow]

    def test_only_the_full_backups_are_listed_for_a_base(self, catalogue: Catalogue) -> None:
        full = self.commit(catalogue, 300, 1, "A", Kind.FULL)
        self.commit(catalogue, 1, 2, "A")
        assert [hint.id for hint in catalogue.backups.full_hints("sql-1", "OctopusDB")] == [full]


def test_a_backup_is_damaged_as_long_as_its_newest_verification_says_so(catalogue: Catalogue) -> None:
    for backup in ("B1", "B2", "B3"):
        catalogue.backups.add_verification(verification(backup, "r1"))
    assert catalogue.backups.damaged() == set()
    catalogue.backups.add_verification(verification("B2", "r2", passed=False))
    catalogue.backups.add_verification(verification("B3", "r2", passed=False))
    catalogue.backups.add_verification(verification("B3", "r3", passed=False))
    assert catalogue.backups.damaged() == {"B2", "B3"}
    catalogue.backups.add_verification(verification("B2", "r3"))
    assert catalogue.backups.damaged() == {"B3"}


def test_verifications_that_passed_are_not_listed_to_find_those_that_failed(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    for number in range(20):
        catalogue.backups.add_verification(verification(f"B{number}"))
    catalogue.backups.add_verification(verification("BAD", passed=False))
    assert Catalogue(troubled, clock).backups.damaged() == {"BAD"}
    assert len(proxy.seen) == 2, "the suspects, then the verifications of the one"


def test_a_failed_verification_whose_document_was_not_written_counts(
    catalogue: Catalogue, storage: Storage
) -> None:
    look = verification("B1", passed=False)
    catalogue.backups.add_verification(look)
    storage.client("catalogue", paths.verification("B1", look.run_id)).delete_blob()
    assert catalogue.backups.damaged() == {"B1"}


def test_a_snapshot_set_is_found_by_its_id_in_one_request(
    catalogue: Catalogue, troubled: Storage, proxy: Proxy, clock: SetClock
) -> None:
    made = snapshot_set(low=3)
    catalogue.backups.commit(made)
    catalogue.backups.commit(sql_backup(low=1))
    assert Catalogue(troubled, clock).backups.get(made.id) == made
    assert len(proxy.seen) == 1


def measures(run_id: str, seconds: float) -> Measures:
    step = Measure(step_kind="sql_restore", backup_kind=Kind.LOG, size=10, seconds=seconds)
    return Measures(run_id=run_id, measured_at=START, steps=(step,))


def test_the_steps_of_the_newest_runs_are_remembered_the_newest_first(catalogue: Catalogue) -> None:
    for number in range(NEWEST + 5):
        catalogue.measures.save(measures(ulid_at(START + number * DAY), float(number)))
    assert [step.seconds for step in catalogue.measures.recent()] == list(range(NEWEST + 4, 4, -1))


def test_a_run_that_ends_twice_is_remembered_once(catalogue: Catalogue) -> None:
    assert catalogue.measures.recent() == ()
    for seconds in (1.0, 2.0):
        catalogue.measures.save(measures("R1", seconds))
    assert [step.seconds for step in catalogue.measures.recent()] == [2.0]
