"""What a plan says of each step: statement, interruption, needs, victims; and that the digest stays."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from shared.model.backups import Kind
from shared.model.plans import (
    CleanUpStep,
    CollectionStep,
    ErasuresStep,
    FenceStep,
    GapStep,
    HealthStep,
    Migrations,
    MigrationsStep,
    Plan,
    Policy,
    RehydrateStep,
    SafetyStep,
    SampleStep,
    SqlProofStep,
    SqlRestoreStep,
    SqlTailStep,
    Step,
    Stop,
    SwapStep,
)
from shared.planning.details import MOST_WINDOWS, explain, told
from shared.planning.durations import History
from shared.planning.statements import Where, statement_of
from shared.planning.step_notes import interrupted, needs_of, overwritten_by
from shared.planning.windows import Window
from shared.stores.sqlserver import statements
from tests.unit.planning.world import at, blob, known, plan, request

STORAGE = "https://backups.blob.core.windows.net"
URL, DISK = Where(STORAGE), Where(STORAGE, r"D:\backup")
OTHERS: tuple[Step, ...] = (
    FenceStep(id="1", title="", hook=True),
    FenceStep(id="1", title="", hook=False),
    RehydrateStep(id="1", title="", files=(blob("a"), blob("b"), blob("c"))),
    GapStep(id="1", title="", collections=("c1", "c2", "c3"), since=at(4)),
    SafetyStep(id="1", title="", collections=("c1",)),
    SqlTailStep(id="1", title="", database="Live", backup_id="B"),
    ErasuresStep(id="1", title="", database="D", target="T", users=3, list_sha256="00"),
    SwapStep(id="1", title="", restored="rp_Live", live="Live", aside="Live__before"),
    SwapStep(id="1", title="", restored="rp_Live", live="Live", aside=None),
    MigrationsStep(id="1", title="", database="D", target="T", how=Migrations.SCRIPT, script=blob("m.sql")),
    MigrationsStep(id="1", title="", database="D", target="T", how=Migrations.COMMAND),
    HealthStep(id="1", title="", hook=True),
    SampleStep(id="1", title="", databases=("drill_D",), collections=("drill_c",)),
    CleanUpStep(id="1", title="", databases=("drill_D",), collections=("drill_c",)),
    SqlProofStep(id="1", title="", database="D", target="T", checkdb=True),
)


def in_place() -> Plan:
    return plan(request(in_place=True), databases={"OctopusDB": "ONLINE"})


def explained(made: Plan | None = None, **more: Any) -> Plan:
    return explain(made or plan(), known(), History(), **more)


def every_step() -> list[Step]:
    return [*in_place().execution.steps, *OTHERS]


def test_every_kind_of_step_of_the_model_is_among_the_examples() -> None:
    kinds = {one.model_fields["kind"].default for one in get_args(get_args(Step)[0])}
    assert {step.kind for step in every_step()} == kinds


@pytest.mark.parametrize("where", [URL, DISK])
def test_every_step_has_a_statement_and_says_what_an_interruption_costs(where: Where) -> None:
    for step in every_step():
        assert statement_of(step, where), step.kind
        assert interrupted(step).startswith(("starts over", "resumed")), step.kind
        assert all(needs_of(step, plan(), where)), step.kind
        assert all(overwritten_by(step, plan())), step.kind


def test_a_plan_is_explained_without_a_change_to_what_is_executed() -> None:
    made = plan()
    found = explained(made)
    assert found.execution == made.execution
    assert found.digest == made.digest == found.execution.digest()
    assert [detail.step_id for detail in found.details] == [step.id for step in made.execution.steps]
    assert sum(detail.size for detail in found.details) == made.size
    assert found.expected_seconds is None
    assert {detail.basis for detail in found.details} == {"no history"}
    assert explained(made) == found


def log(stop: Stop, target: str = "Copy of ]it") -> SqlRestoreStep:
    whole = next(s for s in plan().execution.steps if isinstance(s, SqlRestoreStep) and s.last)
    return whole.model_copy(update={"stop": stop, "target": target})


@pytest.mark.parametrize(
    ("stop", "sent"),
    [
        (Stop(mark="rp_01ARZ3NDEKTSV4RRFFQ69G5FAV"), statements.StopAtMark("rp_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        (Stop(at=at(4.5)), statements.StopAt(at(5.5).replace(tzinfo=None))),  # the server is at UTC+1
        (Stop(), None),
    ],
)
def test_a_statement_shown_is_the_statement_sent(stop: Stop, sent: statements.Stop) -> None:
    step = log(stop)
    devices = [statements.Url(f"{STORAGE}/{file.container}/{file.name}") for file in step.files]
    shown = set(statement_of(step, URL).replace(" WITH ", ", ").split(", "))
    whole = statements.restore_log(step.target, devices, sent).removesuffix(", STATS = 5;")
    assert shown == set(whole.replace(" WITH ", ", ").split(", "))


def test_a_full_restore_names_its_stripes_and_that_files_are_moved() -> None:
    full = next(s for s in plan().execution.steps if isinstance(s, SqlRestoreStep))
    shown = statement_of(full, URL)
    assert shown.startswith(f"RESTORE DATABASE [OctopusDB] FROM URL = N'{STORAGE}/data/sql/1-0.bak', URL = ")
    assert "NORECOVERY" in shown
    assert "MOVE N'data', N'log'" in shown
    assert r"DISK = a copy in N'D:\backup'" in statement_of(full, DISK)
    many = full.model_copy(update={"files": tuple(blob(f"s{number}") for number in range(64))})
    assert "and 62 more" in statement_of(many, URL)


def test_a_collection_is_recovered_with_priority_and_checksum_and_without_a_secret() -> None:
    step = next(s for s in plan().execution.steps if isinstance(s, CollectionStep))
    shown = statement_of(step.model_copy(update={"target": "a/b ü"}), URL)
    assert shown.startswith("PUT /collections/a%2Fb%20%C3%BC/snapshots/recover?wait=true")
    assert '"priority": "snapshot"' in shown
    assert f'"checksum": "{step.parts[0].checksum}"' in shown
    assert "1 more snapshot(s)" in shown
    assert "sig=" not in shown


def test_hooks_and_commands_are_named_by_their_setting() -> None:
    shown = " ".join(statement_of(step, URL) for step in OTHERS)
    for setting in ("OCTOPUS_STOP_HOOK", "OCTOPUS_START_HOOK", "OCTOPUS_MIGRATION_COMMAND"):
        assert setting in shown


def test_an_exchange_of_names_shows_both_renamings() -> None:
    both, one = (statement_of(step, URL) for step in OTHERS if isinstance(step, SwapStep))
    assert both == (
        "ALTER DATABASE [Live] MODIFY NAME = [Live__before]; ALTER DATABASE [rp_Live] MODIFY NAME = [Live]"
    )
    assert one == "ALTER DATABASE [rp_Live] MODIFY NAME = [Live]"


def needs(made: Plan, where: Where = URL) -> str:
    full = next(s for s in made.execution.steps if isinstance(s, SqlRestoreStep))
    return "; ".join(needs_of(full, made, where))


def test_a_full_restore_needs_room_rights_a_version_and_maybe_a_certificate() -> None:
    beside = needs(plan())
    for need in ("CREATE ANY DATABASE", "5.4 KiB free", "at least as new", "certificate", "a credential"):
        assert need in beside
    assert "CREATE ANY DATABASE" not in needs(in_place())
    assert r"2.0 KiB free in D:\backup" in needs(plan(), DISK)


def test_what_is_overwritten_stands_with_the_step_that_does_it() -> None:
    found = {d.step_id.split("-")[1]: d.overwrites for d in explained(in_place()).details if d.overwrites}
    assert found["sql_restore"] == ("database OctopusDB, which is ONLINE now",)
    made = plan(request(in_place=True))
    names = {s.target for s in made.execution.steps if isinstance(s, CollectionStep)}
    over = explained(plan(request(in_place=True), collections=dict.fromkeys(names, True)))
    assert {text for d in over.details for text in d.overwrites} >= {f"collection {name}" for name in names}
    assert not [d for d in explained().details if d.overwrites]


def test_an_interrupted_data_restore_starts_over_and_applied_logs_are_kept() -> None:
    steps = [s for s in plan().execution.steps if isinstance(s, SqlRestoreStep)]
    assert interrupted(steps[0]).startswith("starts over with this backup, from its beginning")
    assert steps[-1].backup_kind is Kind.LOG
    assert "restored before it are kept" in interrupted(steps[-1])


def test_the_moments_of_both_sides_are_told() -> None:
    paired, late = explained(), explained(plan(policy=Policy.LATEST_SQL))
    assert (paired.sql_at, paired.vectors_at) == (at(4.6), at(4.55))
    assert late.sql_at == at(6)
    asked = request(target={"time": at(5.5).isoformat()}, policy="latest_sql")
    assert explained(plan(asked, policy=Policy.LATEST_SQL)).sql_at == at(5.5)


def test_the_windows_of_the_restored_databases_are_told_with_why_they_end() -> None:
    ((database, (window,)),) = explained().windows.items()
    assert database == "OctopusDB"
    assert window.endswith("it is the newest log backup so far")
    assert explained(windows={"OctopusDB": [], "Other": []}).windows == {"OctopusDB": ()}


def test_of_many_windows_the_newest_are_told() -> None:
    many = [Window(at(hour), at(hour + 0.5), hour, hour + 1, f"gap {hour}", "f") for hour in range(50)]
    texts = told(many)
    assert texts[0] == f"{50 - MOST_WINDOWS} older windows are not shown"
    assert texts[-1].endswith("gap 49")
    assert len(texts) == MOST_WINDOWS + 1
    assert len(told(many[:MOST_WINDOWS])) == MOST_WINDOWS
