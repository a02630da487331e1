"""Who may log in, and what a login may do on the server as a whole."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.sqlserver.engine.errors import SqlError

ADMINISTRATOR = "sa"
SYSTEM_USER = "system"
SYSADMIN = "sysadmin"

# Microsoft: "Server-level roles", what each fixed role's members may do; those of the role that this server
# can be asked for.
ROLES: Mapping[str, frozenset[str]] = {
    SYSADMIN: frozenset({"CONTROL SERVER"}),
    "dbcreator": frozenset({"CREATE ANY DATABASE", "ALTER ANY DATABASE"}),
    "securityadmin": frozenset({"ALTER ANY LOGIN"}),
    "processadmin": frozenset({"ALTER ANY CONNECTION", "VIEW SERVER STATE"}),
    "serveradmin": frozenset({"VIEW SERVER STATE"}),
    "diskadmin": frozenset(),
    "bulkadmin": frozenset(),
}
# A permission -> those that include it (Microsoft: "GRANT server permissions", column "implied by").
_IMPLIED_BY: Mapping[str, frozenset[str]] = {
    "CREATE ANY DATABASE": frozenset({"ALTER ANY DATABASE"}),
    "VIEW SERVER PERFORMANCE STATE": frozenset({"VIEW SERVER STATE"}),
    "VIEW ANY DATABASE": frozenset({"VIEW ANY DEFINITION"}),
}
PERMISSIONS = frozenset(
    [
        "CONTROL SERVER",
        "VIEW SERVER STATE",
        "VIEW SERVER PERFORMANCE STATE",
        "VIEW ANY DEFINITION",
        "VIEW ANY DATABASE",
        "CREATE ANY DATABASE",
        "ALTER ANY DATABASE",
        "ALTER ANY LOGIN",
        "ALTER ANY CREDENTIAL",
        "ALTER ANY CONNECTION",
    ]
)


@dataclass
class LoginInfo:
    """One login: its password's hash, its server roles, what it was granted and denied."""

    name: str
    password: str = field(repr=False)
    default_database: str = "master"
    roles: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)


class Logins:
    """All logins of the server; ``as_json`` is what the register keeps."""

    def __init__(self, password: str, stored: Mapping[str, Any]) -> None:
        """``password`` is sa's; ``stored`` what ``as_json`` gave."""
        self._lock = threading.RLock()
        self._known = {name: LoginInfo(**raw) for name, raw in stored.items()}
        self._known[ADMINISTRATOR] = LoginInfo(ADMINISTRATOR, _hashed(password), roles=[SYSADMIN])

    def as_json(self) -> dict[str, Any]:
        """The stored form."""
        with self._lock:
            return {name: dataclasses.asdict(info) for name, info in self._known.items()}

    def find(self, name: str) -> LoginInfo | None:
        """A login by name."""
        with self._lock:
            return self._known.get(name.casefold())

    def known(self, name: str) -> LoginInfo:
        """A login by name.

        Raises:
            SqlError: 15151, there is none.
        """
        info = self.find(name)
        if info is None:
            raise SqlError(15151, "find", "login", name)
        return info

    def admits(self, name: str, password: str) -> bool:
        """Whether name and password belong together."""
        info = self.find(name)
        return info is not None and _matches(info.password, password)

    def create(self, name: str, password: str, default_database: str) -> None:
        """Add a login.

        Raises:
            SqlError: 15025, it exists.
        """
        with self._lock:
            if self.find(name) or name.casefold() == SYSTEM_USER:
                raise SqlError(15025, name)
            self._known[name.casefold()] = LoginInfo(name, _hashed(password), default_database)

    def drop(self, name: str) -> None:
        """Remove a login.

        Raises:
            SqlError: 15151, there is none.
        """
        with self._lock:
            if self._known.pop(name.casefold(), None) is None:
                raise SqlError(15151, "drop", "login", name)

    def change_role(self, role: str, name: str, *, add: bool) -> None:
        """Make a login a member of a fixed server role, or no longer one.

        Raises:
            SqlError: 15151, there is no such role or login.
        """
        if role.lower() not in ROLES:
            raise SqlError(15151, "alter", "server role", role)
        roles = self.known(name).roles
        if add != (role.lower() in roles):
            (roles.append if add else roles.remove)(role.lower())

    def change_permission(self, action: str, permission: str, name: str) -> None:
        """GRANT, DENY or REVOKE a permission on the server.

        Raises:
            SqlError: 15151, there is no such login.
        """
        info = self.known(name)
        for held in (info.granted, info.denied):
            if permission in held:
                held.remove(permission)
        if action != "REVOKE":
            (info.granted if action == "GRANT" else info.denied).append(permission)

    def is_sysadmin(self, name: str) -> bool:
        """Whether a login may do everything."""
        info = self.find(name)
        return name == SYSTEM_USER or (info is not None and SYSADMIN in info.roles)

    def may(self, name: str, permission: str) -> bool:
        """Whether a login holds a permission on the server, by itself or through a role."""
        if self.is_sysadmin(name):
            return True
        info = self.find(name)
        if info is None or permission in info.denied:
            return False
        held = set(info.granted).union(*(ROLES[role] for role in info.roles))
        wanted = {permission, "CONTROL SERVER"} | _IMPLIED_BY.get(permission, frozenset())
        return bool(wanted & held)


def _hashed(password: str) -> str:
    salt = secrets.token_hex(8)
    return f"{salt}:{hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()}"


def _matches(stored: str, password: str) -> bool:
    salt, _, digest = stored.partition(":")
    actual = hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()
    return secrets.compare_digest(actual, digest)
