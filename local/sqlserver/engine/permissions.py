"""What a session may do: the users of a database, their roles, what they were granted and denied.

Users and their rights are kept in the database itself, so that backups carry them; logins belong to the
server (``logins.py``). A sysadmin and a database's owner are asked nothing. DENY outweighs every GRANT and
every role but those two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apsw

from local.sqlserver.engine import database as databases
from local.sqlserver.engine.catalog import TableInfo
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance
    from local.sqlserver.engine.session import Session

_EVERYTHING = "CONTROL"
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE"})
# Microsoft: "Database-level roles", what each fixed role's members may do; a "-" denies.
ROLES: Mapping[str, frozenset[str]] = {
    "db_owner": frozenset({_EVERYTHING}),
    "db_backupoperator": frozenset({"BACKUP DATABASE", "BACKUP LOG"}),
    "db_datareader": frozenset({"SELECT"}),
    "db_datawriter": _CHANGES,
    "db_ddladmin": frozenset({"ALTER", "CREATE TABLE", "CREATE SCHEMA"}),
    "db_securityadmin": frozenset(),
    "db_accessadmin": frozenset(),
    "db_denydatareader": frozenset({"-SELECT"}),
    "db_denydatawriter": frozenset(f"-{permission}" for permission in _CHANGES),
}
PERMISSIONS = (
    frozenset(
        [
            "SELECT",
            "CONTROL",
            "ALTER",
            "BACKUP DATABASE",
            "BACKUP LOG",
            "CONNECT",
            "CREATE TABLE",
            "CREATE SCHEMA",
            "VIEW DEFINITION",
            "VIEW DATABASE STATE",
        ]
    )
    | _CHANGES
)
PUBLIC = 0
_VISIBLE_WITH = ("SELECT", "INSERT", "UPDATE", "DELETE", "ALTER", "VIEW DEFINITION")
# The databases that every login may enter, as the user guest.
_WITH_GUEST = ("master", "tempdb", "msdb")


@dataclass(frozen=True)
class Rights:
    """What a login holds in one database: its user, and permissions by securable (see ``securable``)."""

    user: str | None
    roles: frozenset[str]
    granted: frozenset[tuple[str, str]]
    denied: frozenset[tuple[str, str]]


def securable(kind: str, identity: object = "") -> str:
    """How a securable is written: the database (empty), ``schema:…`` or ``object:…`` by its number."""
    return f"{kind}:{identity}".casefold() if kind else ""


def _read(connection: apsw.Connection, login: str) -> Rights:
    row = connection.execute("SELECT user_id, name FROM _users WHERE login = ?", (login,)).fetchone()
    number, name = row if row is not None else (None, None)
    roles = connection.execute("SELECT role FROM _members WHERE user_id = ?", (number,)).fetchall()
    rights = connection.execute(
        "SELECT permission, securable, denied FROM _rights WHERE user_id IN (?, ?)", (number, PUBLIC)
    ).fetchall()
    return Rights(
        None if name is None else str(name),
        frozenset(str(role) for (role,) in roles),
        frozenset((str(permission), str(where)) for permission, where, denied in rights if not denied),
        frozenset((str(permission), str(where)) for permission, where, denied in rights if denied),
    )


class Permissions:
    """Answers whether a session may do something."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def server(self, session: Session, permission: str) -> bool:
        """Whether the session's login holds a permission on the server."""
        return self._instance.logins.may(session.user, permission)

    def owns(self, session: Session, database: Database) -> bool:
        """Whether the session is ``dbo`` in a database."""
        owner = database.state.owner.casefold()
        return self.server(session, "CONTROL SERVER") or owner == session.user.casefold()

    def rights(self, session: Session, database: Database) -> Rights:
        """What the session's login holds in a database, as last committed."""
        return database.committed(lambda connection: _read(connection, session.user))

    def may_enter(self, session: Session, database: Database) -> bool:
        """Whether the session may make a database its own."""
        if self.owns(session, database) or database.name in _WITH_GUEST:
            return True
        rights = self.rights(session, database)
        return rights.user is not None and ("CONNECT", "") not in rights.denied

    def user_name(self, session: Session, database: Database) -> str:
        """The session's user in a database."""
        if self.owns(session, database) or database.state.state != databases.ONLINE:
            return "dbo"
        return self.rights(session, database).user or "guest"

    def database(self, session: Session, database: Database, permission: str) -> bool:
        """Whether the session holds a permission on a whole database."""
        if permission == "VIEW DATABASE STATE" and self.server(session, "VIEW SERVER STATE"):
            return True
        if permission == "VIEW DEFINITION" and self.server(session, "VIEW ANY DEFINITION"):
            return True
        return self._holds(session, database, permission, ("",))

    def table(self, session: Session, database: Database, table: TableInfo, permission: str) -> bool:
        """Whether the session holds a permission on a table."""
        places = ("", securable("schema", table.schema), securable("object", table.object_id))
        return self._holds(session, database, permission, places)

    def _holds(self, session: Session, database: Database, permission: str, places: tuple[str, ...]) -> bool:
        if self.owns(session, database):
            return True
        rights = self.rights(session, database)
        through_roles = frozenset().union(*(ROLES[role] for role in rights.roles))
        wanted = {(one, place) for one in (permission, _EVERYTHING) for place in places}
        if f"-{permission}" in through_roles or wanted & rights.denied:
            return False
        return bool(wanted & rights.granted) or bool({permission, _EVERYTHING} & through_roles)

    def can_see(self, session: Session, database: Database, table: TableInfo) -> bool:
        """Whether the catalogue views show a table to the session: any permission on it is enough."""
        if self.owns(session, database) or self.database(session, database, "VIEW DEFINITION"):
            return True
        return any(self.table(session, database, table, permission) for permission in _VISIBLE_WITH)

    # --- demands

    def demand_server(self, session: Session, permission: str) -> None:
        """Raise 15247 unless the session holds a permission on the server."""
        if not self.server(session, permission):
            raise SqlError(15247)

    def demand_new_database(self, session: Session) -> None:
        """Raise 262 unless the session may create databases, and so restore or read any backup."""
        if not self.server(session, "CREATE ANY DATABASE"):
            raise SqlError(262, "CREATE DATABASE", "master")

    def demand_database(self, session: Session, database: Database, permission: str) -> None:
        """Raise 262 unless the session holds a permission on a database."""
        if not self.database(session, database, permission):
            raise SqlError(262, permission, database.name)

    def demand_table(self, session: Session, database: Database, table: TableInfo, permission: str) -> None:
        """Raise 229 unless the session holds a permission on a table."""
        if not self.table(session, database, table, permission):
            raise SqlError(229, permission, table.name, database.name, table.schema)
