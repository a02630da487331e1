"""The T-SQL that is sent, as text: names and literals cannot break out of it."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequestError
from shared.stores.sqlserver import statements
from shared.stores.sqlserver.statements import Disk, StopAt, StopAtMark, Url

MARK = "rp_01KBRW5XJ8Q4Z6T7Y8N9M0ABCD"
DISK = [Disk(r"D:\backup\a.bak")]
URLS = [Url("https://a.blob.core.windows.net/landing/x/1.bak"), Url("https://a.blob.core.windows.net/b")]


def test_a_full_backup_names_every_option_once() -> None:
    text = statements.backup_database("Octopus", DISK, differential=False, name="n", description="d")
    assert text == (
        r"BACKUP DATABASE [Octopus] TO DISK = N'D:\backup\a.bak' WITH COMPRESSION, CHECKSUM, "
        "MAXTRANSFERSIZE = 4194304, STATS = 5, NAME = N'n', DESCRIPTION = N'd';"
    )


def test_a_differential_backup_to_urls_lists_every_stripe_and_asks_for_large_blocks() -> None:
    text = statements.backup_database("Octopus", URLS, differential=True, name="n", description="d")
    assert "TO URL = N'https://a.blob.core.windows.net/landing/x/1.bak', URL = N'https://" in text
    assert "WITH DIFFERENTIAL, COMPRESSION, CHECKSUM, MAXTRANSFERSIZE = 4194304, BLOCKSIZE = 65536" in text


def test_nothing_is_ever_overwritten_by_a_backup() -> None:
    for text in (
        statements.backup_database("x", DISK, differential=False, name="n", description="d"),
        statements.backup_log("x", URLS, name="n", description="d"),
        statements.backup_tail("x", DISK, name="n", description="d"),
    ):
        assert not re.search(r"\b(FORMAT|INIT|CREDENTIAL)\b", text)


def test_the_tail_throws_everybody_out_in_the_same_batch() -> None:
    first, second = statements.backup_tail("x", DISK, name="n", description="d").splitlines()
    assert first == "ALTER DATABASE [x] SET SINGLE_USER WITH ROLLBACK IMMEDIATE;"
    assert second.startswith("BACKUP LOG [x] TO DISK")
    assert "WITH NORECOVERY," in second


def test_every_restore_leaves_the_database_restoring() -> None:
    moves = {"data'file": r"D:\x.mdf"}
    full = statements.restore_full("t", DISK, moves=moves, replace=True)
    assert full == (
        r"RESTORE DATABASE [t] FROM DISK = N'D:\backup\a.bak' WITH NORECOVERY, CHECKSUM, "
        r"MOVE N'data''file' TO N'D:\x.mdf', REPLACE, STATS = 5;"
    )
    assert "NORECOVERY" in statements.restore_differential("t", DISK)
    assert "NORECOVERY" in statements.restore_log("t", DISK, None)
    assert "REPLACE" not in statements.restore_full("t", DISK, moves=moves, replace=False)


def test_a_log_is_stopped_at_a_mark_or_at_a_time_of_the_server() -> None:
    assert f"STOPATMARK = N'{MARK}'" in statements.restore_log("t", DISK, StopAtMark(MARK))
    at = StopAt(datetime(2026, 1, 31, 4, 5, 6, 789_000))  # noqa: DTZ001 - the server's local time has no zone
    assert "STOPAT = N'2026-01-31T04:05:06.789'" in statements.restore_log("t", DISK, at)


def test_recovery_and_verification_are_statements_of_their_own() -> None:
    assert statements.recover("t") == "RESTORE DATABASE [t] WITH RECOVERY;"
    assert statements.verify_only(DISK) == r"RESTORE VERIFYONLY FROM DISK = N'D:\backup\a.bak' WITH CHECKSUM;"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_name_is_one_identifier(name: str) -> None:
    quoted = statements.quote_name(name)
    assert quoted[0] + quoted[-1] == "[]"
    assert quoted[1:-1].replace("]]", "").count("]") == 0
    assert quoted[1:-1].replace("]]", "]") == name


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_is_one_literal(text: str) -> None:
    quoted = statements.literal(text)
    assert quoted[:2] + quoted[-1] == "N''"
    assert quoted[2:-1].replace("''", "").count("'") == 0
    assert quoted[2:-1].replace("''", "'") == text


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 129, "\N{PILE OF POO}" * 65, "\ud800"])
def test_a_name_that_sql_server_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        statements.quote_name(name)
    assert refused.value.specific_code == "invalid_name"


def test_the_longest_name_is_taken() -> None:
    assert len(statements.quote_name("x" * 128)) == 130


@pytest.mark.parametrize("name", ["master", "MSDB", "model", "tempdb"])
def test_a_system_database_is_no_target(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="never overwrites"):
        statements.restore_full(name, DISK, moves={}, replace=True)
    with pytest.raises(InvalidRequestError, match="never overwrites"):
        statements.backup_tail(name, DISK, name="n", description="d")


@pytest.mark.parametrize("name", ["", "rp_", "x" * 33, MARK.lower(), MARK + "X", "rp_'; DROP TABLE x; --"])
def test_only_a_name_of_our_own_making_is_a_mark(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        statements.begin_marked(name, "d")


def test_the_marks_description_is_cut_to_what_sql_server_takes() -> None:
    text = statements.begin_marked(MARK, "it's " + "x" * 500)
    assert text.startswith(f"SET XACT_ABORT ON; BEGIN TRANSACTION {MARK} WITH MARK N'it''s ")
    assert text.count("x") == 123


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("https://a/" + "x" * 300, "address_too_long"),
        ("http://a/b", "invalid_request"),
        ("https://a/b?sig=x", "invalid_request"),
    ],
)
def test_an_address_that_sql_server_cannot_take_is_refused(address: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        statements.backup_log("x", [Url(address)], name="n", description="d")
    assert refused.value.specific_code == code
    assert "sig=x" not in str(refused.value)
