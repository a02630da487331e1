"""What becomes of SQLSERVER_CONNECTION before anything is sent."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from shared.errors import InvalidSettingsError
from shared.stores.sqlserver.connection import Server, _newest_driver

CANARY = "CANARY-in-the-mine"


def server(text: str) -> Server:
    return Server(SecretStr(text))


def test_a_server_is_known_by_its_address_and_never_shows_its_password() -> None:
    found = server(f"SERVER=tcp:db.example.net,1433;UID=u;PWD={CANARY};")
    assert found.address == "tcp:db.example.net,1433"
    assert CANARY not in repr(found)


def test_a_password_in_braces_may_hold_anything() -> None:
    found = server("PWD={a;b}}c=};SERVER=x")
    assert found._secrets() == ["a;b}c="]
    assert found.address == "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"UID=u;PWD={CANARY}", "names no server"),
        (f"SERVER=;PWD={CANARY}", "names no server"),
        (f"SERVER=x;PWD={{{CANARY}", "cannot be read from character 10"),
        (f"{CANARY}", "cannot be read from character 1 "),
        ("", "names no server"),
    ],
)
def test_a_wrong_connection_string_is_explained_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        server(text)
    assert words in str(refused.value)
    assert CANARY not in str(refused.value)


def test_no_connection_string_is_a_settings_error() -> None:
    with pytest.raises(InvalidSettingsError, match="SQLSERVER_CONNECTION is not set"):
        Server(None)


def test_the_newest_installed_driver_is_taken() -> None:
    installed = ["FreeTDS", "ODBC Driver 9 for SQL Server", "ODBC Driver 18 for SQL Server", "SQL Server"]
    assert _newest_driver(installed) == "ODBC Driver 18 for SQL Server"


def test_a_machine_without_the_driver_is_told_what_to_install() -> None:
    with pytest.raises(InvalidSettingsError, match="not installed") as refused:
        _newest_driver(["FreeTDS"])
    assert "msodbcsql18" in refused.value.hint
