"""infra/sqlserver-setup.sql: what it grants, and that it can be run again."""

from __future__ import annotations

import re
from pathlib import Path

SCRIPT = (Path(__file__).parents[3] / "infra" / "sqlserver-setup.sql").read_text("utf-8")
BATCHES = re.split(r"(?m)^GO\s*$", re.sub(r"--[^\n]*|/\*.*?\*/", "", SCRIPT, flags=re.S))


def granted_to(login: str) -> set[str]:
    rights = re.findall(rf"GRANT\s+([\w ,]+?)(?:\s+ON\s+[\w:.]+)?\s+TO\s+\[{login}\]", SCRIPT)
    return {right.strip() for one in rights for right in one.split(",")}


def test_the_login_of_every_day_can_neither_change_nor_create_anything() -> None:
    assert granted_to("octopus_backup") == {
        "VIEW SERVER STATE",
        "VIEW ANY DEFINITION",
        "SELECT",
        "INSERT",  # of marker rows, see the next test
    }
    roles = re.findall(r"ALTER ROLE \[(\w+)\] ADD MEMBER \[octopus_backup\]", SCRIPT)
    assert roles == ["db_backupoperator", "db_datareader"]


def test_rows_are_inserted_into_the_marker_table_only() -> None:
    assert re.findall(r"GRANT [\w, ]*INSERT[\w, ]* ON OBJECT::([\w.]+)", SCRIPT) == [
        "octopus_backup.RecoveryPoint"
    ]


def test_only_the_login_for_restores_may_create_databases() -> None:
    assert "CREATE ANY DATABASE" in granted_to("octopus_restore")


def test_nobody_may_touch_credentials() -> None:
    assert not re.search(r"GRANT\s+ALTER ANY CREDENTIAL", SCRIPT)


def test_whatever_is_made_is_made_only_where_it_is_missing() -> None:
    for batch in BATCHES:
        if "CREATE " in batch and "GRANT" not in batch:
            assert re.match(r"\s*IF ", batch), batch


def test_it_holds_no_secret() -> None:
    for value in re.findall(r"(?:PASSWORD|SECRET) = N?'([^']*)'", SCRIPT):
        assert value.startswith("$(") or value == "…"
