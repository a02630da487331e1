# ruff: noqa: S608 -- every name in SQL text is quoted by ``storage.quoted``, every value is bound
"""CREATE USER, ALTER ROLE, GRANT, DENY and REVOKE as a session runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.sqlserver.engine import logins, permissions
from local.sqlserver.engine.database import Database
from local.sqlserver.engine.errors import SqlError, unsupported
from local.sqlserver.engine.permissions import PUBLIC, securable
from local.sqlserver.engine.storage import quoted, scalar
from local.sqlserver.syntax import commands, tree

if TYPE_CHECKING:
    from local.sqlserver.engine.session import Session

_FIRST_USER = 5  # below are public, dbo, guest, INFORMATION_SCHEMA and sys
_BUILT_IN = ("dbo", "guest", "public", "sys", "information_schema")


class Security:
    """Runs one such statement for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._instance = session.instance

    def run(self, node: tree.Node) -> None:
        """Run the statement; what it changes in a database is a transaction of that database."""
        if isinstance(node, commands.Membership) and node.server:
            self._instance.permissions.demand_server(self._session, "CONTROL SERVER")
            self._instance.logins.change_role(node.role, node.member, add=node.add)
            self._instance.save()
            return
        if isinstance(node, commands.Permission) and not node.kind and self._on_server(node):
            return
        with self._session.atomic() as transaction:
            database = self._session.open()
            if not self._instance.permissions.database(self._session, database, "CONTROL"):
                raise SqlError(15247)
            transaction.write_to(database)
            match node:
                case commands.User():
                    self._user(database, node)
                case commands.Membership():
                    self._membership(database, node)
                case commands.Permission():
                    self._permission(database, node)
                case _:
                    raise unsupported(type(node).__name__)

    # --- the server

    def _on_server(self, node: commands.Permission) -> bool:
        """Change permissions on the server; False if these are a database's."""
        if not set(node.permissions) <= logins.PERMISSIONS:
            return False
        if self._session.database.casefold() != "master":
            raise SqlError(4621)
        self._instance.permissions.demand_server(self._session, "CONTROL SERVER")
        for principal in node.principals:
            for permission in node.permissions:
                self._instance.logins.change_permission(node.action, permission, principal)
        self._instance.save()
        return True

    # --- a database

    def _execute(self, database: Database, sql: str, *values: str | int) -> None:
        """Run ``sql``, in which ``{}`` stands for the database's prefix."""
        self._session.connection.execute(sql.format(quoted(database.attached_name)), values)

    def _number(self, database: Database, name: str) -> int | None:
        sql = f"SELECT user_id FROM {quoted(database.attached_name)}._users WHERE name = ?"
        found = scalar(self._session.connection, sql, (name,))
        return None if found is None else int(found)

    def _existing(self, database: Database, name: str, verb: str = "find") -> int:
        if name.casefold() == "public":
            return PUBLIC
        number = self._number(database, name)
        if number is None:
            raise SqlError(15151, verb, "user", name)
        return number

    def _user(self, database: Database, node: commands.User) -> None:
        number = self._number(database, node.name)
        if node.action == "DROP":
            if number is None and node.if_exists:
                return
            number = self._existing(database, node.name, "drop")
            for table in ("_users", "_members", "_rights"):
                self._execute(database, f"DELETE FROM {{}}.{table} WHERE user_id = ?", number)
            return
        if number is not None or node.name.casefold() in _BUILT_IN:
            raise SqlError(15023, node.name)
        login = self._instance.logins.find(node.login)
        if login is None:
            raise SqlError(15007, node.login)
        prefix = quoted(database.attached_name)
        taken = f"SELECT 1 FROM {prefix}._users WHERE login = ?"
        if (
            scalar(self._session.connection, taken, (login.name,))
            or login.name.casefold() == database.state.owner.casefold()
        ):
            raise SqlError(15063)
        newest = scalar(self._session.connection, f"SELECT max(user_id) FROM {prefix}._users")
        number = max(_FIRST_USER, int(newest or 0) + 1)
        self._execute(database, "INSERT INTO {}._users VALUES (?, ?, ?)", number, node.name, login.name)

    def _membership(self, database: Database, node: commands.Membership) -> None:
        if node.role.lower() not in permissions.ROLES:
            raise SqlError(15151, "alter", "role", node.role)
        number = self._number(database, node.member)
        if number is None:
            raise SqlError(15151, "add" if node.add else "drop", "principal", node.member)
        change = "INSERT OR IGNORE INTO {}._members VALUES (?, ?)"
        if not node.add:
            change = "DELETE FROM {}._members WHERE role = ? AND user_id = ?"
        self._execute(database, change, node.role.lower(), number)

    def _permission(self, database: Database, node: commands.Permission) -> None:
        place = self._place(database, node)
        for permission in node.permissions:
            if permission not in permissions.PERMISSIONS:
                raise SqlError(40517, permission)
        for principal in node.principals:
            number = self._existing(database, principal)
            for permission in node.permissions:
                self._execute(
                    database,
                    "DELETE FROM {}._rights WHERE permission = ? AND securable = ? AND user_id = ?",
                    permission,
                    place,
                    number,
                )
                if node.action != "REVOKE":
                    denied = int(node.action == "DENY")
                    self._execute(
                        database,
                        "INSERT INTO {}._rights VALUES (?, ?, ?, ?)",
                        permission,
                        place,
                        number,
                        denied,
                    )

    def _place(self, database: Database, node: commands.Permission) -> str:
        """How the securable is written in the database's rights."""
        catalog = self._session.catalog(database)
        match node.kind:
            case "OBJECT":
                *front, name = node.securable
                table = catalog.find(front[-1] if front else "dbo", name)
                if table is None or len(front) > 1:
                    raise SqlError(15151, "find", "object", name)
                return securable("object", table.object_id)
            case "SCHEMA":
                name = node.securable[-1]
                if name.casefold() not in {known.casefold() for _, known in catalog.schemas()}:
                    raise SqlError(15151, "find", "schema", name)
                return securable("schema", name)
            case "DATABASE" if node.securable[-1].casefold() != database.name.casefold():
                raise SqlError(15151, "find", "database", node.securable[-1])
            case _:
                return ""
