"""Single rules of the chain algorithm, one history each."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from shared.model.backups import Kind
from shared.model.hints import SqlHint
from shared.model.plans import Stop
from shared.planning.chains import (
    MOST_REJECTED,
    Chain,
    ChainTarget,
    NoChain,
    ToLatest,
    ToLogEnd,
    ToLsn,
    ToTime,
    chain,
    restorable_windows,
)
from tests.unit.planning.world import at


def hint(kind: Kind, identifier: str, first: int, last: int, hour: float, **changed: Any) -> SqlHint:
    values: dict[str, Any] = {
        "id": identifier,
        "server": "sql",
        "database": "OctopusDB",
        "kind": kind,
        "backup_set_uuid": f"uuid-{identifier}",
        "family_guid": "family",
        "first_lsn": first,
        "last_lsn": last,
        "checkpoint_lsn": first,
        "differential_base_guid": None,
        "first_recovery_fork_guid": "fork-a",
        "last_recovery_fork_guid": "fork-a",
        "fork_point_lsn": None,
        "has_bulk_logged_data": False,
        "is_copy_only": False,
        "is_damaged": False,
        "started_at": at(hour),
        "finished_at": at(hour) + timedelta(seconds=5),
        "size": 10,
    }
    return SqlHint(**values | changed)


def full(identifier: str, last: int, hour: float, **changed: Any) -> SqlHint:
    return hint(Kind.FULL, identifier, last - 5, last, hour, **changed)


def differential(identifier: str, last: int, hour: float, base: str, **changed: Any) -> SqlHint:
    base_guid = f"uuid-{base}"
    return hint(
        Kind.DIFFERENTIAL, identifier, last - 5, last, hour, differential_base_guid=base_guid, **changed
    )


def log(identifier: str, first: int, last: int, hour: float, **changed: Any) -> SqlHint:
    return hint(Kind.LOG, identifier, first, last, hour, **changed)


def found(backups: list[SqlHint], target: ChainTarget, family: str | None = None) -> Chain:
    result = chain(backups, target, family)
    assert isinstance(result, Chain), result
    return result


def refused(backups: list[SqlHint], target: ChainTarget) -> NoChain:
    result = chain(backups, target)
    assert isinstance(result, NoChain), result
    return result


def ids(result: Chain) -> list[str]:
    return [backup.id for backup in result.backups]


def why_not(result: Chain | NoChain, identifier: str) -> str:
    return next(choice.reason for choice in result.rejected if choice.backup_id == identifier)


DAY = [
    full("F1", 100, 1),
    log("L1", 50, 150, 2),
    log("L2", 150, 200, 3),
    differential("D1", 220, 4, "F1"),
    log("L3", 200, 250, 5),
    log("L4", 250, 300, 6),
]


def test_full_differential_and_the_logs_up_to_the_target_in_order() -> None:
    result = found(DAY, ToTime(at(5.5)))
    assert ids(result) == ["F1", "D1", "L3", "L4"]
    assert result.stop == Stop(at=at(5.5))
    assert result.stop_inside
    assert (result.full.id, result.size) == ("F1", 40)
    assert result.differential is not None
    assert [one.id for one in result.logs] == ["L3", "L4"]
    assert [choice.backup_id for choice in result.choices] == ids(result)
    assert "stops inside it" in result.choices[-1].reason


def test_the_log_that_ends_after_the_target_is_needed() -> None:
    assert ids(found(DAY, ToTime(at(2.5)))) == ["F1", "L1", "L2"]


def test_a_mark_stops_inside_the_log_that_holds_it() -> None:
    result = found(DAY, ToLsn(160, "rp_1", "L2"))
    assert ids(result) == ["F1", "L1", "L2"]
    assert result.stop == Stop(mark="rp_1")
    assert result.not_before == at(2)


def test_a_bare_lsn_is_a_mark_of_its_own() -> None:
    assert found(DAY, ToLsn(160)).stop == Stop(mark="lsn:160")


def test_the_end_of_a_log_backup_needs_no_stop_clause() -> None:
    result = found(DAY, ToLogEnd("L2"))
    assert ids(result) == ["F1", "L1", "L2"]
    assert (result.stop, result.stop_inside, result.not_before) == (Stop(), False, at(3))
    assert result.choices[-1].reason == "last log of the chain, restored as a whole"


def test_latest_is_the_end_of_the_newest_log() -> None:
    assert ids(found(DAY, ToLatest())) == ["F1", "D1", "L3", "L4"]


def test_latest_is_a_data_backup_where_no_log_follows() -> None:
    result = found([full("F1", 100, 1), differential("D1", 120, 2, "F1")], ToLatest())
    assert ids(result) == ["F1", "D1"]
    assert result.choices[-1].reason.startswith("newest usable differential")


def test_latest_stops_before_a_gap() -> None:
    backups = [full("F1", 100, 1), log("L1", 50, 150, 2), log("L3", 200, 250, 4), log("L4", 250, 300, 5)]
    assert ids(found(backups, ToLatest())) == ["F1", "L1"]


def test_a_copy_only_full_starts_a_roll_forward_but_is_no_differential_base() -> None:
    backups = [
        full("F1", 100, 1),
        full("C1", 140, 2, is_copy_only=True),
        differential("D1", 160, 3, "C1"),
        log("L1", 50, 200, 4),
    ]
    result = found(backups, ToTime(at(3.5)))
    assert ids(result) == ["C1", "L1"]
    assert "copy-only" in result.choices[0].reason
    assert "copy-only" in why_not(result, "D1")


def test_a_differential_of_a_foreign_full_is_not_used_and_says_so() -> None:
    backups = [*DAY[:3], differential("D1", 220, 4, "foreign"), *DAY[4:]]
    result = found(backups, ToTime(at(5.5)))
    assert ids(result) == ["F1", "L1", "L2", "L3", "L4"]
    assert "another tool" in why_not(result, "D1")


def test_damaged_backups_are_never_used_and_say_so() -> None:
    backups = [
        full("F0", 40, 0.5),
        full("F1", 100, 1, is_damaged=True),
        differential("D1", 220, 2.5, "F1"),
        log("L0", 30, 110, 1.5),
        log("X", 110, 160, 1.9, is_damaged=True),
        log("L2", 110, 240, 3),
    ]
    result = found(backups, ToTime(at(2.8)))
    assert ids(result) == ["F0", "L0", "L2"]
    assert "SQL Server marked it so" in why_not(result, "F1")
    assert "F1 cannot be used: it is damaged" in why_not(result, "D1")
    assert "damaged" in why_not(result, "X")


def test_an_older_full_bridges_what_the_newer_one_cannot() -> None:
    backups = [full("F1", 100, 1), log("L1", 50, 200, 2), full("F2", 250, 3), log("L3", 260, 300, 4)]
    assert ids(found(backups, ToTime(at(1.5)))) == ["F1", "L1"]
    assert refused(backups, ToTime(at(3.5))).code == "target_after_last_log"


def test_a_gap_of_a_single_record_is_a_gap() -> None:
    assert refused([full("F1", 100, 1), log("L1", 101, 200, 2)], ToLogEnd("L1")).code == "no_chain"
    assert ids(found([full("F1", 100, 1), log("L1", 100, 200, 2)], ToLogEnd("L1"))) == ["F1", "L1"]


def test_a_later_log_that_overlaps_bridges_the_gap_before_the_first_two() -> None:
    backups = [
        full("F1", 100, 1),
        log("L2", 150, 200, 3),
        log("L3", 200, 250, 4),
        log("C", 50, 400, 5, is_copy_only=True),
    ]
    assert ids(found(backups, ToTime(at(2)))) == ["F1", "C"]


def test_a_full_at_the_end_of_the_first_log_of_an_idle_hour_is_still_the_newest() -> None:
    backups = [full("F1", 100, 1), full("F2", 200, 2), log("L1", 90, 200, 3), log("L2", 200, 300, 4)]
    assert ids(found(backups, ToTime(at(2.5)))) == ["F2", "L2"]


def test_a_full_after_a_mark_is_left_because_it_ended_after_the_target() -> None:
    backups = [*DAY[:2], full("F2", 190, 2.5), DAY[2]]
    assert why_not(found(backups, ToLsn(160)), "F2") == "ended after the target"


def test_the_reasons_of_data_backups_that_were_left() -> None:
    backups = [
        full("F1", 100, 1),
        full("F2", 500, 2, last_recovery_fork_guid="fork-b", first_recovery_fork_guid="fork-b"),
        differential("D1", 120, 2.1, "F1"),
        differential("D2", 140, 2.2, "F1"),
        differential("D3", 510, 2.3, "F2"),
        differential("D9", 190, 3.5, "F1", last_recovery_fork_guid="fork-c"),
        log("L1", 50, 200, 4),
        differential("D4", 199, 3.99, "F1"),
        full("F3", 199, 3.99),
    ]
    result = found(backups, ToTime(at(3.8)))
    assert ids(result) == ["F1", "D2", "L1"]
    assert why_not(result, "F2").startswith("no log backups lead from its end")
    assert why_not(result, "F3") == why_not(result, "D4") == "ended after the target"
    assert why_not(result, "D1") == "a newer differential of the same full is used"
    assert why_not(result, "D3") == "its base is another full backup, F2"
    assert why_not(result, "D9").startswith("no log backups lead from its end")


def test_a_differential_on_a_fork_that_does_not_lead_to_the_target_is_left() -> None:
    backups = [
        full("F1", 100, 1),
        differential("D1", 120, 2, "F1", last_recovery_fork_guid="fork-b"),
        log("L1", 50, 200, 4),
    ]
    result = found(backups, ToTime(at(3)))
    assert ids(result) == ["F1", "L1"]
    assert why_not(result, "D1").startswith("no log backups lead from its end")


def test_a_stop_inside_a_bulk_logged_log_is_refused_and_its_end_is_not() -> None:
    backups = [full("F1", 100, 1), log("L1", 50, 150, 2, has_bulk_logged_data=True), log("L2", 150, 200, 3)]
    assert refused(backups, ToLsn(120, log_backup_id="L1")).code == "no_chain"
    assert refused(backups, ToTime(at(1.5))).code == "target_between_windows"
    assert ids(found(backups, ToLogEnd("L1"))) == ["F1", "L1"]
    assert ids(found(backups, ToTime(at(2.5)))) == ["F1", "L1", "L2"]


def test_of_two_logs_that_hold_the_target_the_one_without_bulk_changes_is_used() -> None:
    backups = [
        full("F1", 100, 1),
        log("L1", 50, 150, 2, has_bulk_logged_data=True),
        log("C1", 50, 160, 3, is_copy_only=True),
    ]
    result = found(backups, ToLsn(120))
    assert ids(result) == ["F1", "C1"]
    assert "bulk-logged" in why_not(result, "L1")


def test_empty_logs_are_skipped() -> None:
    backups = [full("F1", 100, 1), log("L1", 50, 150, 2), log("E", 150, 150, 3), log("L2", 150, 200, 4)]
    result = found(backups, ToTime(at(3.5)))
    assert ids(result) == ["F1", "L1", "L2"]
    assert result.rejected == ()
    assert ids(found(backups, ToLogEnd("E"))) == ["F1", "L1"]


FORKED = [
    full("F1", 100, 1),
    log("A1", 50, 150, 2),
    log("A2", 150, 200, 3),
    log("S", 150, 190, 5, last_recovery_fork_guid="fork-b", fork_point_lsn=160),
    log("B1", 190, 230, 6, first_recovery_fork_guid="fork-b", last_recovery_fork_guid="fork-b"),
]


def test_a_fork_is_followed_where_the_log_that_spans_it_can_still_be_applied() -> None:
    result = found(FORKED, ToTime(at(5.5)))
    assert ids(result) == ["F1", "A1", "S", "B1"]
    assert "another recovery fork" in why_not(result, "A2")


def test_a_full_beyond_the_fork_point_cannot_enter_the_other_fork() -> None:
    backups = [*FORKED, full("F2", 170, 2.9)]
    assert ids(found(backups, ToTime(at(5.5)))) == ["F1", "A1", "S", "B1"]


def test_the_same_lsn_on_two_forks_is_told_apart_by_the_log_that_recorded_it() -> None:
    assert ids(found(FORKED, ToLsn(175, "rp_a", "A2"))) == ["F1", "A1", "A2"]
    assert ids(found(FORKED, ToLsn(175, "rp_b", "S"))) == ["F1", "A1", "S"]
    assert refused(FORKED, ToLsn(175)).code == "no_chain"


def test_a_record_before_the_fork_point_can_be_taken_from_the_log_that_spans_it() -> None:
    without_a2 = [backup for backup in FORKED if backup.id != "A2"]
    assert ids(found(without_a2, ToLsn(155, "rp_a", "S"))) == ["F1", "A1", "S"]


def test_a_spanning_log_without_fork_point_is_not_trusted() -> None:
    backups = [FORKED[0], FORKED[1], FORKED[3].model_copy(update={"fork_point_lsn": None}), FORKED[4]]
    assert ids(found(backups, ToLatest())) == ["F1", "A1"]


def test_a_chain_can_pass_two_forks() -> None:
    second = log("S2", 230, 260, 7, first_recovery_fork_guid="fork-b", last_recovery_fork_guid="fork-c")
    backups = [*FORKED, second.model_copy(update={"fork_point_lsn": 235})]
    assert ids(found(backups, ToLatest())) == ["F1", "A1", "S", "B1", "S2"]


def test_a_time_inside_a_log_that_spans_a_fork_is_refused_because_it_could_mean_either_history() -> None:
    result = refused(FORKED, ToTime(at(4)))
    assert result.code == "target_between_windows"
    assert (result.before, result.after) == (at(3), at(5) + timedelta(seconds=5))


def test_the_newest_family_is_meant_unless_another_is_told() -> None:
    old = [one.model_copy(update={"id": f"old-{one.id}", "family_guid": "old"}) for one in DAY[:3]]
    backups = old + DAY[:1] + [log("N1", 50, 200, 9)]
    assert ids(found(backups, ToLatest())) == ["F1", "N1"]
    assert ids(found(backups, ToLatest(), "old")) == ["old-F1", "old-L1", "old-L2"]
    assert ids(found(backups, ToLogEnd("old-L2"))) == ["old-F1", "old-L1", "old-L2"]
    other = found(backups, ToTime(at(5)))
    assert "another database of this name" in why_not(other, "old-L2")


@pytest.mark.parametrize(
    ("backups", "target", "code"),
    [
        ([], ToLatest(), "no_full_backup"),
        ([log("L1", 50, 150, 2)], ToTime(at(1)), "no_full_backup"),
        (DAY, ToTime(at(0)), "target_before_first_backup"),
        (DAY, ToTime(at(7)), "target_after_last_log"),
        (DAY, ToLsn(160, "rp_1", "gone"), None),
        (DAY, ToLsn(9999, "rp_1", "gone"), "log_backup_missing"),
        (DAY, ToLogEnd("gone"), "log_backup_missing"),
        (DAY, ToLsn(9999), "no_chain"),
    ],
)
def test_every_refusal_has_a_code(backups: list[SqlHint], target: ChainTarget, code: str | None) -> None:
    result = chain(backups, target)
    assert (result.code if isinstance(result, NoChain) else None) == code


def test_a_refusal_says_where_the_nearest_restorable_moments_are() -> None:
    backups = [*DAY, full("F2", 400, 8), log("L9", 390, 450, 9)]
    result = refused(backups, ToTime(at(7)))
    assert (result.before, result.after) == (at(6), at(8) + timedelta(seconds=5))
    assert "2026-03-01 07:00:00Z" in result.reason
    assert "the log between LSN 300 and 390 is in no backup of ours" in result.reason
    unreachable = refused(backups[1:3], ToLogEnd("L2"))
    assert unreachable.before is None


def test_near_misses_are_bounded() -> None:
    damaged = [log(f"X{n:03}", 250, 260, 5.1, is_damaged=True) for n in range(50)]
    assert len(found(DAY + damaged, ToTime(at(5.5))).rejected) == MOST_REJECTED


def test_windows_end_at_gaps_damage_forks_and_the_newest_log_and_say_so() -> None:
    backups = [
        *FORKED,
        full("F5", 1000, 10),
        log("G1", 990, 1100, 11),
        log("G2", 1150, 1200, 12, is_damaged=True),
        full("F6", 1300, 13),
        log("G3", 1290, 1400, 14),
        log("G4", 1400, 1500, 15, is_damaged=True),
        full("F7", 2000, 16),
    ]
    told = {(window.start_lsn, window.end_lsn): window.why for window in restorable_windows(backups)}
    assert told[190, 230] == "the database itself was restored afterwards, and a new recovery fork began"
    assert told[1000, 1100].startswith("the log between LSN 1100 and 1290")
    assert told[1300, 1400] == "log backup G4, which would continue it, is damaged"
    assert told[2000, 2000] == "no log backup continues it"


def test_the_window_of_the_newest_log_says_that_it_is_the_newest() -> None:
    (window,) = restorable_windows([log("L0", 20, 50, 0.5), *DAY])
    assert (window.start, window.end) == (at(1) + timedelta(seconds=5), at(6))
    assert window.why == "it is the newest log backup so far"
    assert str(window) == "2026-03-01 01:00:05Z to 2026-03-01 06:00:00Z"
    (moment,) = restorable_windows(DAY[:1])
    assert str(moment) == "2026-03-01 01:00:05Z"


def test_a_window_is_cut_at_a_bulk_logged_log() -> None:
    backups = [
        full("F1", 100, 1),
        *DAY[1:3],
        log("B", 200, 250, 4, has_bulk_logged_data=True),
        log("L", 250, 300, 5),
    ]
    first, second = restorable_windows(backups)
    assert "bulk-logged" in first.why
    assert (first.end, second.start, second.end) == (at(3), at(4) + timedelta(seconds=5), at(5))


def test_after_a_log_that_took_no_time_a_window_begins_a_second_later() -> None:
    bulk = log("B", 90, 250, 4, has_bulk_logged_data=True, finished_at=at(4))
    backups = [full("F1", 100, 1), bulk, log("L", 250, 300, 5)]
    start = at(4) + timedelta(seconds=1)
    assert start in [window.start for window in restorable_windows(backups)]
    assert ids(found(backups, ToTime(start))) == ["F1", "B", "L"]
    assert refused(backups, ToTime(at(4))).after == start


def a_year() -> list[SqlHint]:
    """35,040 logs, 2,190 differentials, 365 fulls."""
    backups: list[SqlHint] = []
    base, end = "", 0
    for quarter in range(35_040):
        hour, lsn = quarter / 4, 100 + quarter * 50
        if quarter % 96 == 0:
            base = f"F{quarter}"
            backups.append(full(base, lsn + 40, hour))
        if quarter % 16 == 0:
            backups.append(differential(f"D{quarter}", lsn + 42, hour, base))
        backups.append(log(f"L{quarter}", end, lsn + 50, hour))
        end = lsn + 50
    return backups


def test_a_year_of_backups_costs_no_more_than_sorting_it() -> None:
    # 0.1 to 0.3 s where nothing else runs; the bound is for busy machines, and catches what grows squared
    backups = a_year()
    assert len(backups) == 35_040 + 2_190 + 365
    for target in (ToLatest(), ToTime(at(24 * 300 + 7.1)), ToLsn(900_000), ToTime(at(-1))):
        started = time.process_time()
        result = chain(backups, target)
        assert time.process_time() - started < 5
        assert isinstance(result, NoChain) or len(result.backups) <= 19
