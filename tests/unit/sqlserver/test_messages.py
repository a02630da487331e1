"""Which error of ours each message of SQL Server becomes, and that none of them tells a secret."""

from __future__ import annotations

import pytest

from shared.errors import (
    BackupSystemError,
    IntegrityError,
    NotPermittedError,
    OutcomeUnknownError,
    SqlServerError,
    TargetInTheWayError,
    UnreachableError,
)
from shared.stores.sqlserver.messages import (
    Message,
    error_of,
    from_cursor,
    from_exception,
    known_problem,
    redact,
)

PREFIX = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"


def failure(number: int, text: str = "something") -> BackupSystemError:
    return error_of(from_exception(("42000", f"[42000] {PREFIX}{text} ({number}) (SQLExecDirectW)")))


@pytest.mark.parametrize(
    ("numbers", "code", "error"),
    [
        ((3035, 4214, 4219), "no_full_backup", SqlServerError),
        ((4208,), "recovery_model_simple", SqlServerError),
        ((911,), "database_missing", SqlServerError),
        ((18456,), "login_failed", NotPermittedError),
        ((229, 262, 916), "permission", NotPermittedError),
        ((3201, 3202, 3271, 3290), "storage_failed", SqlServerError),
        ((3296,), "storage_name_taken", SqlServerError),
        ((3023,), "backup_running", SqlServerError),
        ((3183, 3189, 3241, 3256), "corrupt_backup", IntegrityError),
        ((4305, 4312), "chain_gap", SqlServerError),
        ((4326,), "log_not_needed", SqlServerError),
        ((4330,), "fork", SqlServerError),
        ((3136,), "wrong_base", SqlServerError),
        ((3132,), "stripe_missing", IntegrityError),
        ((3101, 3102), "in_use", SqlServerError),
        ((3159, 3154, 3141, 1834), "target_exists", TargetInTheWayError),
        ((33111,), "certificate", SqlServerError),
        ((3257,), "space", SqlServerError),
        ((3169,), "version", SqlServerError),
        ((1222,), "lock_timeout", SqlServerError),
        ((40613,), "unreachable", UnreachableError),
    ],
)
def test_a_known_number_has_its_code_its_class_and_a_hint(
    numbers: tuple[int, ...], code: str, error: type[BackupSystemError]
) -> None:
    for number in numbers:
        found = failure(number)
        assert found.specific_code == code
        assert type(found) is error
        assert found.hint
        assert str(number) in found.message


@pytest.mark.parametrize(
    ("number", "text", "code"),
    [
        (
            3201,
            "Cannot open backup device 'x'. Operating system error 5(Access is denied.).",
            "storage_credential",
        ),
        (3201, "Cannot open backup device 'x'. Operating system error 86(…).", "storage_credential"),
        (
            3271,
            'I/O error on file "x:" The remote server returned an error: (403) Forbidden.',
            "storage_credential",
        ),
        (3202, "Write on 'x' failed: 112(There is not enough space on the disk.)", "space"),
        (3202, "Write on 'x' failed: 1117(The request could not be performed …)", "storage_failed"),
    ],
)
def test_the_operating_systems_number_tells_what_is_wrong_with_the_storage(
    number: int, text: str, code: str
) -> None:
    found = failure(number, text)
    assert found.specific_code == code
    assert found.retryable == (code == "storage_failed")


def test_an_unknown_number_is_still_named() -> None:
    found = failure(7777, "The moon is full.")
    assert isinstance(found, SqlServerError)
    assert (found.number, found.retryable) == (7777, False)
    assert "7777: The moon is full." in found.message


def test_the_message_that_says_why_wins_over_the_one_that_only_wraps_it() -> None:
    joined = (
        f"[42000] {PREFIX}BACKUP is terminating abnormally. (3013) (SQLExecDirectW); "
        f"[42000] {PREFIX}Cannot perform a differential backup. (3035)"
    )
    assert error_of(from_exception(("42000", joined))).specific_code == "no_full_backup"


def test_only_what_can_help_itself_may_be_tried_again() -> None:
    assert failure(3023).retryable
    assert failure(40613).retryable
    assert not failure(4208).retryable
    assert not failure(4330).retryable


@pytest.mark.parametrize("state", ["08S01", "HYT00", "HY008", "08003"])
def test_a_lost_connection_leaves_the_outcome_unknown(state: str) -> None:
    text = f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server]TCP Provider: Error code 0x68 (104) (SQLX)"
    assert isinstance(error_of(from_exception((state, text))), OutcomeUnknownError)


def test_a_missing_database_is_told_by_its_number_although_its_sqlstate_speaks_of_the_connection() -> None:
    text = f"[08004] {PREFIX}Database 'x' does not exist. (911) (SQLExecDirectW)"
    assert error_of(from_exception(("08004", text))).specific_code == "database_missing"


def test_messages_of_a_cursor_are_read_with_state_and_number() -> None:
    found = from_cursor(
        [
            ("[01000] (3211)", f"{PREFIX}10 percent processed."),
            ("[08S01] (10054)", "[Microsoft][ODBC Driver 18 for SQL Server]TCP Provider: gone"),
        ]
    )
    assert found == [
        Message("01000", 3211, "10 percent processed."),
        Message("08S01", 10054, "TCP Provider: gone"),
    ]
    assert [message.is_information for message in found] == [True, False]


def test_a_problem_of_low_severity_is_recognised_among_information() -> None:
    broken = Message("01000", 4219, "The log backup chain is broken.")
    done = Message("01000", 3014, "BACKUP LOG successfully processed 3 pages")
    assert known_problem([done]) is None
    found = known_problem([done, broken])
    assert found is not None
    assert found.specific_code == "no_full_backup"


@pytest.mark.parametrize(
    "text",
    [
        "Cannot open 'https://a.blob.core.windows.net/c/b.bak?sv=2026-04-06&sig=CANARY%3D'. Error 86",
        "SharedAccessSignature sv=2026&se=2027&sig=CANARY&sp=rw",
        "DRIVER=x;SERVER=s;UID=u;PWD=CANARY;Encrypt=yes",
        "PWD={CANARY; with }} braces CANARY}",
        "IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = 'CANARY''CANARY'",
        "SECRET = N'CANARY'",
        "AccountKey=CANARY==;",
    ],
)
def test_no_secret_survives_redaction(text: str) -> None:
    assert "CANARY" not in redact(text)


def test_a_given_secret_is_removed_wherever_it_stands() -> None:
    assert redact("login with hunter2 failed", "hunter2") == "login with *** failed"


def test_long_texts_of_the_server_are_cut() -> None:
    assert len(failure(7777, "x" * 5000).message) < 600
