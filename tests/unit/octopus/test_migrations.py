"""A migration script is cut where sqlcmd would cut it, and refused where it would leave its database."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.octopus import migrations
from shared.octopus.migrations import Batch, head_of, read_script, split

SCRIPT = """IF OBJECT_ID(N'[__EFMigrationsHistory]') IS NULL
BEGIN
    CREATE TABLE [__EFMigrationsHistory] ([MigrationId] nvarchar(150) NOT NULL);
END;
GO

BEGIN TRANSACTION;
GO

IF NOT EXISTS (SELECT * FROM [__EFMigrationsHistory] WHERE [MigrationId] = N'20250301080000_Initial')
BEGIN
    CREATE TABLE [Octopus_Areas] ([AreaId] uniqueidentifier NOT NULL);
END;
GO

IF NOT EXISTS (SELECT * FROM [__EFMigrationsHistory] WHERE [MigrationId] = N'20251102141500_Later')
BEGIN
    INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion])
    VALUES (N'20251102141500_Later', N'9.0.2');
END;

INSERT INTO [__EFMigrationsHistory] ([MigrationId], [ProductVersion])
VALUES (N'20250301080000_Initial', N'9.0.2');
GO

COMMIT;
GO

"""


def texts(script: str) -> list[str]:
    return [batch.text.strip() for batch in split(script)]


def test_a_script_of_ef_core_is_cut_at_its_lines_go_with_their_places() -> None:
    script = read_script(SCRIPT.encode())
    assert [(b.number, b.first_line, b.last_line) for b in script.batches] == [
        (1, 1, 4),
        (2, 7, 7),
        (3, 10, 13),
        (4, 16, 23),
        (5, 26, 26),
    ]
    assert script.batches[1].text == "BEGIN TRANSACTION;\n"


def test_the_head_is_the_greatest_id_that_is_inserted_not_one_that_is_asked_for() -> None:
    assert read_script(SCRIPT.encode()).head == "20251102141500_Later"
    assert (
        head_of("IF EXISTS (SELECT 1 FROM [__EFMigrationsHistory] WHERE [MigrationId] = N'20990101000000_X')")
        is None
    )
    assert (
        head_of("INSERT [dbo].[__EFMigrationsHistory] VALUES (N'20250101000000_It''s', N'9')")
        == "20250101000000_It's"
    )


@pytest.mark.parametrize("line", ["GO", "go", "  Go\t", "GO -- and on", "gO 1", "GO\r"])
def test_a_line_that_holds_only_go_separates(line: str) -> None:
    assert texts(f"SELECT 1\n{line}\nSELECT 2") == ["SELECT 1", "SELECT 2"]


@pytest.mark.parametrize("line", ["GOTO x", "GO;", "SELECT 1 GO", "GO x", "GOGO", "-- GO", "[GO]", "'GO'"])
def test_any_other_line_with_go_in_it_does_not(line: str) -> None:
    assert len(list(split(f"SELECT 1\n{line}\nSELECT 2"))) == 1


@pytest.mark.parametrize(
    "inside",
    [
        "/* a comment\nGO\n*/ SELECT 1",
        "/* one /* in another\n*/ still\nGO\n*/ SELECT 1",
        "SELECT 'a text\nGO\nwith a '' quote\nGO\n'",
        'SELECT 1 AS "a name\nGO\n"',
        "SELECT 1 AS [a name\nGO\n]]still]",
        "-- it's no quotation\nSELECT '/* nor this\nGO\n'",
    ],
)
def test_within_comments_and_quotations_go_is_a_word_like_others(inside: str) -> None:
    (before, whole, after) = split(f"SELECT 0\nGO\n{inside}\nGO\nSELECT 2")
    assert whole.text.strip() == inside
    assert (before.number, whole.number, after.number) == (1, 2, 3)


def test_a_comment_line_does_not_open_anything() -> None:
    assert texts("-- don't /* do this\nGO\nSELECT 1") == ["SELECT 1"]


def test_go_with_a_number_repeats_its_batch() -> None:
    assert [batch.times for batch in split("SELECT 1\nGO 3\nSELECT 2\nGO")] == [3, 1]
    with pytest.raises(InvalidRequestError, match="101 times"):
        list(split("SELECT 1\nGO 101"))


def test_batches_without_a_statement_are_left_out_and_counted() -> None:
    assert [
        (b.number, b.first_line) for b in split("-- nothing\nGO\n\nGO\n\n\nSELECT 1\nGO\n/* nor here */")
    ] == [(3, 7)]


@pytest.mark.parametrize(
    "raw",
    [
        SCRIPT.encode("utf-8"),
        codecs.BOM_UTF8 + SCRIPT.encode("utf-8"),
        SCRIPT.encode("utf-16"),
        codecs.BOM_UTF16_BE + SCRIPT.encode("utf-16-be"),
        SCRIPT.replace("\n", "\r\n").encode(),
    ],
)
def test_every_encoding_that_tools_write_is_read_alike(raw: bytes) -> None:
    script = read_script(raw)
    assert [b.text.replace("\r\n", "\n") for b in script.batches] == [
        b.text for b in read_script(SCRIPT.encode()).batches
    ]
    assert [(b.first_line, b.last_line) for b in script.batches][2] == (10, 13)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "holds no statement"),
        (b"-- only\nGO\nGO\n", "holds no statement"),
        (b"SELECT 'never closed\nGO\n", "opens a quotation in line 1"),
        (b"SELECT 1\nGO\n/* never closed", "opens a comment in line 3"),
        (b"\xff\xfe\x00", "is no text"),
        (b"SELECT '\xe9'", "is no text"),
        (b"SELECT 1\x00", "zero byte"),
    ],
)
def test_what_is_no_script_is_refused_and_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why) as caught:
        read_script(raw)
    assert caught.value.specific_code == "migration_script"


def test_a_script_that_is_too_long_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LARGEST_SCRIPT", 10)
    with pytest.raises(InvalidRequestError, match="11 bytes"):
        read_script(b"SELECT 1234")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("USE [OctopusDB];", "USE"),
        ("use OctopusDB", "USE"),
        ("SELECT 1; USE/* here */[x]", "USE"),
        ("CREATE DATABASE [x]", "CREATE DATABASE"),
        ("alter database OctopusDB SET RECOVERY SIMPLE", "ALTER DATABASE"),
        ("DROP DATABASE IF EXISTS x", "DROP DATABASE"),
        ("BACKUP LOG x TO DISK = 'y'", "BACKUP LOG"),
        ("RESTORE DATABASE x WITH RECOVERY", "RESTORE DATABASE"),
    ],
)
def test_a_statement_that_leaves_the_restored_database_is_refused_with_its_line(
    statement: str, words: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"says {words} in line 5"):
        read_script(f"SELECT 1\nGO\n\n-- and now\n{statement}\nGO\n".encode())


@pytest.mark.parametrize(
    "harmless",
    [
        "SELECT 1 OPTION (USE HINT ('FORCE_LEGACY_CARDINALITY_ESTIMATION'))",
        "SELECT 1 OPTION (USE PLAN N'<x/>')",
        "ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = 160",
        "EXEC(N'USE [other]; SELECT 1')",
        "SELECT [USE], 'USE x' FROM [DATABASE] -- USE x",
        "ALTER TABLE [Octopus_Areas] ADD [Use] int",
    ],
)
def test_what_only_looks_like_it_is_not(harmless: str) -> None:
    assert len(read_script(harmless.encode()).batches) == 1


_PIECES = st.sampled_from(
    ["SELECT 1", "/* c */", "/*\nGO\n*/", "'GO'", "'\nGO\n'", "[a\nGO\n]", "-- GO", ";", "x", "''", '"q"']
)
_BATCHES = st.lists(_PIECES, min_size=1, max_size=5).map(lambda pieces: "\n".join(["SELECT 0", *pieces]))


@given(st.lists(_BATCHES, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_joined_batches_are_cut_into_the_same_again(batches: list[str], end: str) -> None:
    script = f"{end}GO{end}".join(text.replace("\n", end) for text in batches)
    found = list(split(script))
    assert [batch.text for batch in found] == [text.replace("\n", end) + "\n" for text in batches]
    lines = script.split(end)
    for batch in found:  # the places are those of the file
        assert end.join(lines[batch.first_line - 1 : batch.last_line]) + "\n" == batch.text


@given(st.text(alphabet="GO go'[]\"/*-\n\r;a1", max_size=60))
def test_any_text_is_cut_without_losing_a_statement_or_refused(text: str) -> None:
    try:
        found = list(split(text))
    except InvalidRequestError:
        return
    assert all(isinstance(batch, Batch) and batch.text.strip() for batch in found)
    rest = "".join(batch.text for batch in found)
    assert rest.count("a") <= text.count("a")
    assert [batch.first_line for batch in found] == sorted(batch.first_line for batch in found)
