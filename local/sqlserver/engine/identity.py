"""The functions that say who a session is and what it may do."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local.sqlserver.engine import logins, permissions
from local.sqlserver.engine.errors import SqlError

if TYPE_CHECKING:
    from local.sqlserver.engine.database import Database
    from local.sqlserver.engine.session import Session

_DBO = 1


def identity_functions(session: Session) -> dict[str, Callable[..., Any]]:
    """The functions by name, as one session calls them."""
    identity = _Identity(session)
    login = lambda: session.user  # noqa: E731 -- one of many one-line answers
    return {
        "suser_sname": login,
        "suser_name": login,
        "system_user": login,
        "original_login": login,
        "user_name": identity.user,
        "current_user": identity.user,
        "suser_id": identity.login_number,
        "user_id": identity.user_number,
        "has_perms_by_name": identity.has_permission,
        "is_srvrolemember": identity.server_role,
        "is_member": identity.database_role,
        "is_rolemember": identity.database_role,
        "has_dbaccess": identity.has_access,
    }


class _Identity:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._instance = session.instance

    @property
    def _database(self) -> Database:
        return self._instance.database(self._session.database)

    def user(self) -> str:
        return self._instance.permissions.user_name(self._session, self._database)

    def login_number(self, name: str | None = None) -> int | None:
        found = self._instance.logins.find(name or self._session.user)
        return None if found is None else zlib.crc32(found.name.casefold().encode()) >> 1

    def user_number(self, name: str | None = None) -> int | None:
        wanted = name or self.user()
        if wanted.casefold() == "dbo":
            return _DBO
        sql = "SELECT user_id FROM _users WHERE name = ?"
        row = self._database.committed(lambda connection: connection.execute(sql, (wanted,)).fetchone())
        return None if row is None else int(row[0])

    def server_role(self, role: str, name: str | None = None) -> int | None:
        found = self._instance.logins.find(name or self._session.user)
        if found is None or (role.lower() not in logins.ROLES and role.lower() != "public"):
            return None
        held = {"public", *found.roles}
        return int(role.lower() in held or logins.SYSADMIN in held)

    def database_role(self, role: str) -> int | None:
        if role.lower() not in (*permissions.ROLES, "public"):
            return None
        if role.lower() == "public" or self._instance.permissions.owns(self._session, self._database):
            return 1
        return int(role.lower() in self._instance.permissions.rights(self._session, self._database).roles)

    def has_access(self, name: str) -> int | None:
        database = self._instance.find(name)
        if database is None:
            return None
        try:
            self._session.check_usable(database)
        except SqlError:
            return 0
        return 1

    def has_permission(self, securable: str | None, kind: str | None, permission: str) -> int | None:
        """HAS_PERMS_BY_NAME for the server (NULL), a database and a table; None for anything else."""
        wanted, session, held = permission.upper(), self._session, self._instance.permissions
        if kind is None and securable is None:
            return int(held.server(session, wanted)) if wanted in logins.PERMISSIONS else None
        if wanted not in permissions.PERMISSIONS:
            return None
        if (kind or "").upper() == "DATABASE":
            database = self._instance.find(securable or session.database)
            return None if database is None else int(held.database(session, database, wanted))
        if (kind or "").upper() == "OBJECT":
            schema, _, name = (securable or "").replace("[", "").replace("]", "").rpartition(".")
            table = self._database.committed_table(schema or "dbo", name)
            return None if table is None else int(held.table(session, self._database, table, wanted))
        return None
