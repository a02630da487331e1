"""Users, roles and permissions."""

from __future__ import annotations

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import commands, tree
from local.sqlserver.syntax.administration import AdministrationParser

_CLASSES = ("OBJECT", "SCHEMA", "DATABASE")


class SecurityParser(AdministrationParser):
    """Parses statements about who may do what."""

    def user(self, action: str) -> commands.User:
        """``USER name [FOR LOGIN login]`` or ``USER [IF EXISTS] name``."""
        self.expect("USER")
        if action == "DROP":
            if_exists = self.accept("IF", "EXISTS")
            return commands.User(action, self.name(), if_exists=if_exists)
        name = self.name()
        login = name
        if self.accept("FOR", "LOGIN") or self.accept("FROM", "LOGIN"):
            login = self.name()
        if self.is_word("WITH") or self.is_word("WITHOUT"):
            raise SqlError(40517, f"CREATE USER … {self.token.word}")
        return commands.User(action, name, login)

    def membership(self) -> commands.Membership:
        """``[SERVER] ROLE role ADD|DROP MEMBER name``."""
        server = self.accept("SERVER")
        self.expect("ROLE")
        role = self.name()
        add = self.accept("ADD")
        if not add:
            self.expect("DROP")
        self.expect("MEMBER")
        return commands.Membership(role, self.name(), server=server, add=add)

    def permission(self) -> commands.Permission:
        """``GRANT|DENY|REVOKE permissions [ON [class::]name] TO|FROM principals``."""
        action = self.advance().word
        permissions = [self._permission_name()]
        while self.accept_operator(","):
            permissions.append(self._permission_name())
        kind = ""
        securable: tree.NameParts = ()
        if self.accept("ON"):
            kind = "OBJECT"
            if self.token.word in _CLASSES and self.ahead().text == "::":
                kind = self.advance().word
                self.advance()
            securable = self.dotted_name()
        if action != "REVOKE" or not self.accept("FROM"):
            self.expect("TO")
        principals = [self.name()]
        while self.accept_operator(","):
            principals.append(self.name())
        if self.is_word("WITH"):
            raise SqlError(40517, "WITH GRANT OPTION")
        return commands.Permission(action, tuple(permissions), kind, securable, tuple(principals))

    def _permission_name(self) -> str:
        words = []
        while self.token.kind == "word" and self.token.word not in ("ON", "TO", "FROM"):
            words.append(self.advance().word)
        if self.is_operator("("):
            raise SqlError(40517, "permissions on columns")
        if not words:
            raise self.error()
        return " ".join(words)
