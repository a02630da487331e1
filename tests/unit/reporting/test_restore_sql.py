"""restore.sql: the statements of a restore for sqlcmd, whatever the names are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.break_glass import batches
from local.sqlserver.syntax import commands, tree
from local.sqlserver.syntax.batch import parse
from shared.model.backups import Kind, SqlDataFile
from shared.reporting.break_glass import Glass, GlassDatabase, restore_sql
from shared.reporting.break_glass_sql import literal
from shared.stores.sqlserver import statements
from shared.stores.sqlserver.statements import StopAtMark, Url
from tests.unit.reporting.glass import ACCOUNT, MARK, POINT_ID, around, backup, database, glass, side

KNOWN = re.compile(r"\$\((AZURE_SAS|STORAGE_URL|BACKUP_DIR|TARGET_\d+|DATA_PATH|LOG_PATH|FILES)\)")


def filled(script: str) -> list[str]:
    """The batches as sqlcmd sends them."""
    values = dict(re.findall(r'(?m)^:setvar (\w+) "(.*)"$', script)) | {"AZURE_SAS": "a-sas"}
    return [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], batch) for batch in batches(script)]


def plainly(statement: str) -> str:
    return " ".join(statement.split())


def restores(one: GlassDatabase) -> list[str]:
    """The RESTORE statements for a database, its name in the place of the variable."""
    found = [
        batch[batch.index("RESTORE ") :]
        for batch in filled(restore_sql(glass(databases=(one,))))
        if "\nRESTORE" in batch
    ]
    return [plainly(text).replace("@target", statements.quote_name(one.side.database)) for text in found]


def test_the_statements_are_those_that_the_software_itself_would_send() -> None:
    full, differential, log, last = (
        [Url(f"{ACCOUNT}/{file.path}") for file in one.files] for one in database().backups
    )
    moves = {"Octopus": "@file1", "Octopus_log": "@file2"}
    expected = [
        statements.restore_full("OctopusDB", full, moves=moves, replace=False)
        .replace("N'Octopus' TO N'@file1'", "@logical1 TO @file1")
        .replace("N'Octopus_log' TO N'@file2'", "@logical2 TO @file2"),
        statements.restore_differential("OctopusDB", differential),
        statements.restore_log("OctopusDB", log, StopAtMark(MARK)),
        statements.restore_log("OctopusDB", last, StopAtMark(MARK)),
        statements.recover("OctopusDB"),
    ]
    assert restores(database()) == expected


def test_without_a_mark_the_last_log_is_applied_to_its_end_and_nothing_claims_a_marker_row() -> None:
    one = database(side=side(mark=None))
    text = restore_sql(glass(databases=(one,)))
    assert "STOPATMARK" not in text
    assert "RecoveryPoint" not in text
    assert "OctopusDB has no mark" in text
    assert restores(one)[-1] == "RESTORE DATABASE [OctopusDB] WITH RECOVERY;"


def test_every_statement_has_a_batch_of_its_own_and_an_error_ends_the_script() -> None:
    text = restore_sql(glass())
    assert text.index(":on error exit") < text.index("RESTORE DATABASE @target")
    for batch in batches(text):
        assert len(re.findall(r"(?m)^(RESTORE|CREATE)", batch)) <= 1
        assert len(re.findall(r"(?m)^ *CREATE CREDENTIAL", batch)) <= 1


def test_a_database_that_exists_is_never_overwritten() -> None:
    script = restore_sql(glass())
    first = next(batch for batch in batches(script) if "DB_ID(@target)" in batch)
    assert script.index(first) < script.index("RESTORE DATABASE @target")
    assert "REPLACE" not in script


def test_its_beginning_says_what_it_does_and_what_to_set() -> None:
    text = restore_sql(glass())
    beginning = text[: text.index("*/")]
    for word in (POINT_ID, "before v7", "OctopusDB of SQL1", "16.0.4135.4", "AZURE_SAS", "sqlcmd -S", "TDE"):
        assert word in beginning, word
    assert "1 full, 1 differential, 2 log(s)" in beginning
    assert "INCOMPLETE" not in beginning


def test_an_incomplete_point_says_so_at_its_top_with_its_reasons() -> None:
    text = restore_sql(glass(complete=False, reasons=("agent_1 on peer 11: it was gone.",), databases=()))
    assert "THIS POINT IS INCOMPLETE" in text
    assert "agent_1 on peer 11: it was gone." in text
    assert "NOTHING" in text
    assert batches(text[text.index("*/") :].removeprefix("*/")) == []


def test_from_a_folder_the_files_have_the_names_that_the_shell_script_fetches_them_by() -> None:
    one = database(medium="disk")
    text = restore_sql(glass(databases=(one,), backup_dir="/backups"))
    assert ':setvar BACKUP_DIR "/backups/"' in text
    assert f"DISK = N'$(BACKUP_DIR){POINT_ID}-1-001-full-02.bak'" in text
    assert "AZURE_SAS" not in text
    assert "CREDENTIAL" not in text
    windows = restore_sql(glass(databases=(one,), backup_dir="D:\\backup"))
    assert ':setvar BACKUP_DIR "D:\\backup\\"' in windows
    assert ':setvar BACKUP_DIR "C:\\restore\\"' in restore_sql(glass(databases=(one,)))


def test_each_database_has_its_own_name_and_files() -> None:
    text = restore_sql(glass(databases=(database("One"), database("Two"))))
    assert ':setvar TARGET_1 "One"' in text
    assert ':setvar TARGET_2 "Two"' in text
    files = re.findall(r"@file\d nvarchar\(700\) = (@\w+ \+ N'[^']+')", text)
    assert len(files) == len(set(files)) == 4


def test_counts_are_demanded_within_what_is_known_of_them() -> None:
    text = restore_sql(glass())
    assert "[Octopus_Agents]) NOT BETWEEN 2 AND 2 RAISERROR" in text
    assert "[Octopus_Episodes]) NOT BETWEEN 3 AND 5 RAISERROR" in text


HOSTILE = [
    "O'Brien",
    'a"b',
    "a]b",
    "a$(AZURE_SAS)b",
    "$($(x",
    "*/ DROP DATABASE x; /*",
    "a\nGO\nDROP DATABASE x\nGO\n",
    "--",
    "%s %d",
    ':setvar TARGET_1 "x"',
    "ü☃\u202e",
    "'; SHUTDOWN; --",
]


def target_of(batch: str) -> str:
    """What @target is in a batch, as the server works it out."""
    (declared,) = [
        node
        for node in parse(batch)
        if isinstance(node, commands.Declare) and node.variables[0][0] == "@target"
    ]
    return value(declared.variables[0][2])


def value(node: tree.Node | None) -> str:
    if isinstance(node, tree.Literal):
        return str(node.value)
    if isinstance(node, tree.Call):
        (number,) = node.arguments
        assert isinstance(number, tree.Literal)
        return chr(int(number.value))
    assert isinstance(node, tree.Binary), node
    return value(node.left) + value(node.right)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_but_a_name(name: str) -> None:
    demand_harmless(name)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
def test_any_name_is_but_a_name(name: str) -> None:
    demand_harmless(name)


def demand_harmless(name: str) -> None:
    made = glass_of(name)
    script = restore_sql(made)
    unknown = re.sub(KNOWN, "", script)
    assert "$(" not in unknown, "sqlcmd would look for such a variable"
    reference = batches(restore_sql(glass_of("OctopusDB")))
    assert len(batches(script)) == len(reference)
    for batch in filled(script):
        parse(batch)  # it is T-SQL, or the stand-in's parser says where not
        if "@target" in batch:
            assert target_of(batch) == name


def glass_of(name: str) -> Glass:
    files = tuple(
        SqlDataFile(logical_name=name, physical_name=name, type=kind, size=1) for kind in ("data", "log")
    )
    tables = {f"{name}.Octopus_{name}": around(1, 2)}
    one = database(
        side=side(name, tables=tables, server=name),
        data_files=files,
        backups=(backup(Kind.FULL, 1), backup(Kind.LOG, 2)),
    )
    return replace(glass(name=name, reasons=(name,), complete=False, databases=(one,)), left_out={name: name})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_literal_says_what_it_was_made_of(text: str) -> None:
    (declared,) = parse(f"DECLARE @a nvarchar(100) = {literal(text)};")
    assert isinstance(declared, commands.Declare)
    assert value(declared.variables[0][2]) == text
    assert "$(" not in literal(text)
    assert "\n" not in literal(text)
