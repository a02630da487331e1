"""Reading a list of tokens: the base of the parsers."""

from __future__ import annotations

from local.sqlserver.datatypes import DATE, DATETIME, FLOAT, GUID, SqlType
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax.lexer import Token, tokens
from local.sqlserver.syntax.tree import NameParts

# Words that cannot be an alias or a bare name (Microsoft: "Reserved keywords", those that matter here).
RESERVED = frozenset(
    [
        "ADD",
        "ALL",
        "ALTER",
        "AND",
        "ANY",
        "AS",
        "ASC",
        "BACKUP",
        "BEGIN",
        "BETWEEN",
        "BREAK",
        "BULK",
        "BY",
        "CASCADE",
        "CASE",
        "CHECK",
        "CHECKPOINT",
        "CLOSE",
        "CLUSTERED",
        "COALESCE",
        "COLLATE",
        "COLUMN",
        "COMMIT",
        "CONSTRAINT",
        "CONTAINS",
        "CONTINUE",
        "CONVERT",
        "CREATE",
        "CROSS",
        "CURRENT",
        "CURRENT_TIMESTAMP",
        "CURRENT_USER",
        "CURSOR",
        "DATABASE",
        "DBCC",
        "DECLARE",
        "DEFAULT",
        "DELETE",
        "DENY",
        "DESC",
        "DISTINCT",
        "DROP",
        "ELSE",
        "END",
        "ESCAPE",
        "EXCEPT",
        "EXEC",
        "EXECUTE",
        "EXISTS",
        "EXIT",
        "FETCH",
        "FOR",
        "FOREIGN",
        "FREETEXT",
        "FROM",
        "FULL",
        "FUNCTION",
        "GOTO",
        "GRANT",
        "GROUP",
        "HAVING",
        "IDENTITY",
        "IF",
        "IN",
        "INDEX",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "KEY",
        "KILL",
        "LEFT",
        "LIKE",
        "MERGE",
        "NOCHECK",
        "NONCLUSTERED",
        "NOT",
        "NULL",
        "NULLIF",
        "OF",
        "OFF",
        "ON",
        "OPEN",
        "OPTION",
        "OR",
        "ORDER",
        "OUTER",
        "OVER",
        "PIVOT",
        "PRIMARY",
        "PRINT",
        "PROCEDURE",
        "RAISERROR",
        "REFERENCES",
        "RESTORE",
        "RETURN",
        "REVOKE",
        "RIGHT",
        "ROLLBACK",
        "RULE",
        "SAVE",
        "SCHEMA",
        "SELECT",
        "SESSION_USER",
        "SET",
        "SHUTDOWN",
        "SOME",
        "STATISTICS",
        "SYSTEM_USER",
        "TABLE",
        "THEN",
        "TO",
        "TOP",
        "TRAN",
        "TRANSACTION",
        "TRIGGER",
        "TRUNCATE",
        "UNION",
        "UNIQUE",
        "UNPIVOT",
        "UPDATE",
        "USE",
        "USER",
        "VALUES",
        "VIEW",
        "WAITFOR",
        "WHEN",
        "WHERE",
        "WHILE",
        "WITH",
    ]
)
_MAX_LENGTH = {
    "nvarchar": 4000,
    "nchar": 4000,
    "varchar": 8000,
    "char": 8000,
    "varbinary": 8000,
    "binary": 8000,
}
_PLAIN_TYPES = {
    "bit": SqlType("bit", precision=1),
    "tinyint": SqlType("tinyint", precision=3),
    "smallint": SqlType("smallint", precision=5),
    "int": SqlType("int", precision=10),
    "integer": SqlType("int", precision=10),
    "bigint": SqlType("bigint", precision=19),
    "float": FLOAT,
    "real": FLOAT,
    "uniqueidentifier": GUID,
    "date": DATE,
    "datetime": DATETIME,
    "sysname": SqlType("nvarchar", 128),
}


class TokenReader:
    """A cursor over the tokens of a batch."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0

    @property
    def token(self) -> Token:
        """The token under the cursor."""
        return self.tokens[self.at]

    def ahead(self, distance: int = 1) -> Token:
        """A token further on."""
        return self.tokens[min(self.at + distance, len(self.tokens) - 1)]

    def advance(self) -> Token:
        """Move on; returns the token that was under the cursor."""
        token = self.token
        if token.kind != "end":
            self.at += 1
        return token

    def is_word(self, *words: str) -> bool:
        """Whether the next tokens are exactly these words."""
        return all(self.ahead(i).word == word for i, word in enumerate(words))

    def accept(self, *words: str) -> bool:
        """Move past these words if they come next."""
        if self.is_word(*words):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Move past these words.

        Raises:
            SqlError: 102 or 156, something else comes next.
        """
        for word in words:
            if not self.accept(word):
                raise self.error()

    def is_operator(self, *operators: str) -> bool:
        """Whether the next token is one of these operators."""
        return self.token.kind == "operator" and self.token.text in operators

    def accept_operator(self, operator: str) -> bool:
        """Move past this operator if it comes next."""
        if self.is_operator(operator):
            self.at += 1
            return True
        return False

    def expect_operator(self, operator: str) -> None:
        """Move past this operator.

        Raises:
            SqlError: something else comes next.
        """
        if not self.accept_operator(operator):
            raise self.error()

    def error(self) -> SqlError:
        """The syntax error at the cursor."""
        token = self.token
        if token.kind == "end" and self.tokens[:-1]:
            token = self.tokens[-2]
        return SqlError(156 if token.word in RESERVED else 102, token.text)

    def is_name(self) -> bool:
        """Whether a name can start here."""
        return self.token.kind == "quoted" or (self.token.kind == "word" and self.token.word not in RESERVED)

    def name(self) -> str:
        """One identifier."""
        if not self.is_name():
            raise self.error()
        if len(self.token.text) > 128:
            raise SqlError(103, "identifier", self.token.text[:128], 128)
        return self.advance().text

    def dotted_name(self) -> NameParts:
        """``a``, ``a.b`` or ``a.b.c``; ``a..c`` leaves the middle empty."""
        parts = [self.name()]
        while self.accept_operator("."):
            if self.is_operator("."):
                parts.append("")
            else:
                parts.append(self.advance().text if self.token.kind == "word" else self.name())
        return tuple(parts)

    def name_list(self) -> tuple[str, ...]:
        """``(a, b, …)``."""
        self.expect_operator("(")
        names = [self.name()]
        while self.accept_operator(","):
            names.append(self.name())
        self.expect_operator(")")
        return tuple(names)

    def integer(self) -> int:
        """A whole number."""
        if self.token.kind != "number" or not self.token.text.isdigit():
            raise self.error()
        return int(self.advance().text)

    def string(self) -> str:
        """A string literal."""
        if self.token.kind not in ("string", "nstring"):
            raise self.error()
        return self.advance().text

    def data_type(self) -> SqlType:
        """A data type with its length or precision.

        Raises:
            SqlError: 2715, a type that this server does not know.
        """
        name = self.name().lower()
        if name in _PLAIN_TYPES:
            if name == "float" and self.accept_operator("("):
                self.integer()
                self.expect_operator(")")
            return _PLAIN_TYPES[name]
        if name in _MAX_LENGTH:
            return SqlType(name, self._length(name))
        if name in ("decimal", "numeric"):
            precision, scale = self._numbers(18, 0)
            return SqlType("decimal", None, precision, scale)
        if name in ("datetime2", "datetimeoffset", "time"):
            return SqlType(name, scale=self._numbers(7)[0])
        raise SqlError(2715, 1, name)

    def _length(self, name: str) -> int | None:
        if not self.accept_operator("("):
            return 1
        if self.accept("MAX"):
            length = None
        else:
            length = self.integer()
            if not 0 < length <= _MAX_LENGTH[name]:
                raise SqlError(2715, 1, f"{name}({length})")
        self.expect_operator(")")
        return length

    def _numbers(self, *defaults: int) -> tuple[int, ...]:
        values = list(defaults)
        if self.accept_operator("("):
            for i in range(len(values)):
                if i and not self.accept_operator(","):
                    break
                values[i] = self.integer()
            self.expect_operator(")")
        return tuple(values)
