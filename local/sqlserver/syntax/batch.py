"""Batches: statements in sequence, control flow, transactions, variables."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from local.sqlserver.datatypes import INT
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import commands, tree
from local.sqlserver.syntax.security import SecurityParser
from local.sqlserver.syntax.tree import Node

MAX_NAME = 32  # characters of a transaction's name
_SET_ON_OFF = frozenset(
    [
        "XACT_ABORT",
        "NOCOUNT",
        "ANSI_NULLS",
        "ANSI_WARNINGS",
        "ANSI_PADDING",
        "ANSI_NULL_DFLT_ON",
        "QUOTED_IDENTIFIER",
        "ARITHABORT",
        "CONCAT_NULL_YIELDS_NULL",
        "CURSOR_CLOSE_ON_COMMIT",
        "IMPLICIT_TRANSACTIONS",
        "NUMERIC_ROUNDABORT",
    ]
)


@lru_cache(maxsize=256)  # drivers send the same text again and again
def parse(text: str) -> tuple[Node, ...]:
    """The statements of a batch.

    Raises:
        SqlError: a syntax error, or a statement that this server refuses.
    """
    parser = BatchParser(text)
    return parser.statements(lambda: parser.token.kind == "end")


class BatchParser(SecurityParser):
    """Parses whole batches."""

    def statements(self, ended: Callable[[], bool]) -> tuple[Node, ...]:
        """Statements until ``ended``."""
        out: list[Node] = []
        while True:
            while self.accept_operator(";"):
                pass
            if ended():
                return tuple(out)
            out.append(self.statement(first=not out))

    def statement(self, *, first: bool = False) -> Node:
        """One statement."""
        token = self.token
        simple = self._simple().get(token.word)
        if simple is not None:
            return simple()
        if token.word in ("CREATE", "ALTER", "DROP"):
            self.advance()
            return self._definition(token.word)
        if token.word == "BEGIN":
            return self._begin()
        if first and self.is_name() and not self.accept("GO"):
            return self._procedure()
        if token.word in (
            "MERGE",
            "WHILE",
            "RECONFIGURE",
            "CHECKPOINT",
            "OPEN",
            "FETCH",
            "BULK",
        ):
            raise SqlError(40510, token.word)
        raise self.error()

    def _simple(self) -> dict[str, Callable[[], Node]]:
        return {
            "SELECT": self.select_statement,
            "WITH": self.select_statement,
            "INSERT": self.insert_statement,
            "UPDATE": self.update_statement,
            "DELETE": self.delete_statement,
            "TRUNCATE": self.truncate_statement,
            "BACKUP": self.backup,
            "RESTORE": self.restore,
            "DBCC": self.check_database,
            "IF": self._if,
            "DECLARE": self._declare,
            "SET": self._set,
            "USE": self._use,
            "EXEC": self._execute,
            "EXECUTE": self._execute,
            "COMMIT": self._commit,
            "ROLLBACK": self._rollback,
            "SAVE": self._save,
            "PRINT": self._print,
            "THROW": self._throw,
            "RAISERROR": self._raise_error,
            "WAITFOR": self._wait,
            "KILL": self._kill,
            "RETURN": self._return,
            "GRANT": self.permission,
            "DENY": self.permission,
            "REVOKE": self.permission,
        }

    def _definition(self, verb: str) -> Node:
        word = self.token.word
        key = (verb, word)
        if verb == "CREATE" and (word in ("UNIQUE", "INDEX", "CLUSTERED", "NONCLUSTERED")):
            return self.create_index(unique=self.accept("UNIQUE"))
        known: dict[tuple[str, str], Callable[[], Node]] = {
            ("CREATE", "TABLE"): self.create_table,
            ("CREATE", "SCHEMA"): self.create_schema,
            ("CREATE", "DATABASE"): self.create_database,
            ("ALTER", "TABLE"): self.alter_table,
            ("ALTER", "DATABASE"): self.alter_database,
            ("DROP", "TABLE"): self.drop_table,
            ("DROP", "INDEX"): self.drop_index,
            ("DROP", "SCHEMA"): self.drop_schema,
            ("DROP", "DATABASE"): self.drop_database,
        }
        if key in known:
            return known[key]()
        if word == "CREDENTIAL":
            return self.credential(verb)
        if word == "LOGIN" and verb != "ALTER":
            return self.login(verb)
        if word == "USER" and verb != "ALTER":
            return self.user(verb)
        if word in ("ROLE", "SERVER") and verb == "ALTER":
            return self.membership()
        if self.token.kind == "word":
            raise SqlError(40510, f"{verb} {word}")
        raise self.error()

    # --- control flow

    def _begin(self) -> Node:
        self.expect("BEGIN")
        if self.accept("TRY"):
            body = self._block_until("TRY")
            self.accept_operator(";")
            self.expect("BEGIN", "CATCH")
            return commands.TryCatch(body, self._block_until("CATCH"))
        if self.is_word("TRANSACTION") or self.is_word("TRAN"):
            return self._begin_transaction()
        if self.is_word("DISTRIBUTED") or self.is_word("DIALOG") or self.is_word("ATOMIC"):
            raise SqlError(40510, f"BEGIN {self.token.word}")
        body = commands.Block(self.statements(lambda: self.is_word("END") or self._exhausted()))
        self.expect("END")
        if not body.statements:
            raise self.error()
        return body

    def _block_until(self, word: str) -> commands.Block:
        body = commands.Block(self.statements(lambda: self.is_word("END", word) or self._exhausted()))
        self.expect("END", word)
        return body

    def _exhausted(self) -> bool:
        if self.token.kind == "end":
            raise self.error()
        return False

    def _begin_transaction(self) -> commands.BeginTransaction:
        self.advance()
        name = self._transaction_name()
        if not self.accept("WITH"):
            return commands.BeginTransaction(name)
        self.expect("MARK")
        if name is None:
            raise SqlError(3901)
        described = self.token.kind in ("string", "nstring", "variable")
        return commands.BeginTransaction(name, True, self._text() if described else None)

    def _transaction_name(self) -> Node | None:
        """A name of at most 32 characters: longer in a variable it is cut, as written it is an error."""
        if self.token.kind == "variable":
            return tree.Variable(self.advance().text.lower())
        if not self.is_name() or self._starts_statement():
            return None
        name = self.name()
        if len(name) > MAX_NAME:
            raise SqlError(103, "identifier", name[:MAX_NAME], MAX_NAME)
        return tree.Literal(name, None)

    def _commit(self) -> Node:
        self.advance()
        if not (self.accept("TRANSACTION") or self.accept("TRAN")):
            self.accept("WORK")
            return commands.CommitTransaction()
        self._transaction_name()
        return commands.CommitTransaction()

    def _rollback(self) -> Node:
        self.advance()
        if not (self.accept("TRANSACTION") or self.accept("TRAN")):
            self.accept("WORK")
            return commands.RollbackTransaction()
        self._transaction_name()
        return commands.RollbackTransaction()

    def _save(self) -> Node:
        raise SqlError(40510, "SAVE TRANSACTION")

    def _if(self) -> Node:
        self.expect("IF")
        condition = self.condition()
        self.accept_operator(";")
        positive = self.statement()
        start = self.at
        while self.accept_operator(";"):
            pass
        if self.accept("ELSE"):
            return commands.If(condition, positive, self.statement())
        self.at = start
        return commands.If(condition, positive, None)

    def _return(self) -> Node:
        self.expect("RETURN")
        return commands.Return()

    def _declare(self) -> Node:
        self.expect("DECLARE")
        variables = []
        while True:
            if self.token.kind != "variable":
                raise self.error()
            name = self.advance().text.lower()
            self.accept("AS")
            if self.is_word("TABLE"):
                raise SqlError(40510, "DECLARE … TABLE")
            kind = self.data_type()
            variables.append((name, kind, self.expression() if self.accept_operator("=") else None))
            if not self.accept_operator(","):
                return commands.Declare(tuple(variables))

    def _set(self) -> Node:
        self.expect("SET")
        if self.token.kind == "variable":
            name = self.advance().text.lower()
            self.expect_operator("=")
            return commands.SetVariable(name, self.expression())
        if self.accept("TRANSACTION", "ISOLATION", "LEVEL"):
            return commands.SetOption("ISOLATION", self._isolation_level())
        option = self.advance().word
        if option == "IDENTITY_INSERT":
            return commands.SetIdentityInsert(self.dotted_name(), self._on_or_off())
        if option in _SET_ON_OFF:
            return commands.SetOption(option, "ON" if self._on_or_off() else "OFF")
        if option in ("LOCK_TIMEOUT", "TEXTSIZE"):
            sign = "-" if self.accept_operator("-") else ""
            return commands.SetOption(option, sign + str(self.integer()))
        if option == "LANGUAGE" and self.name().lower() == "us_english":
            return commands.SetOption(option, "us_english")
        if option == "DATEFORMAT" and self.name().lower() == "mdy":
            return commands.SetOption(option, "mdy")
        raise SqlError(40517, f"SET {option}")

    def _on_or_off(self) -> bool:
        if self.accept("ON"):
            return True
        self.expect("OFF")
        return False

    def _isolation_level(self) -> str:
        for words in (("READ", "COMMITTED"), ("READ", "UNCOMMITTED"), ("SNAPSHOT",)):
            if self.accept(*words):
                return " ".join(words)
        raise SqlError(40517, f"ISOLATION LEVEL {self.token.word}")

    def _use(self) -> Node:
        self.expect("USE")
        return commands.Use(self.name())

    def _execute(self) -> Node:
        self.advance()
        if self.accept_operator("("):
            text = self.expression()
            self.expect_operator(")")
            return commands.ExecuteText(text)
        return self._procedure()

    def _procedure(self) -> Node:
        procedure = self.dotted_name()
        arguments: list[tuple[str, Node]] = []
        while self.token.kind in ("variable", "string", "nstring", "number", "binary") or self.is_word(
            "NULL"
        ):
            name = ""
            if self.token.kind == "variable" and self.ahead().text == "=":
                name = self.advance().text.lower()
                self.advance()
            arguments.append((name, self.expression()))
            if not self.accept_operator(","):
                break
        return commands.ExecuteProcedure(procedure, tuple(arguments))

    def _print(self) -> Node:
        self.expect("PRINT")
        return commands.Print(self.expression())

    def _throw(self) -> Node:
        self.expect("THROW")
        if self.token.kind not in ("number", "variable"):
            return commands.Throw()
        number = self.expression()
        self.expect_operator(",")
        text = self.expression()
        self.expect_operator(",")
        return commands.Throw(number, text, self.expression())

    def _raise_error(self) -> Node:
        self.expect("RAISERROR")
        self.expect_operator("(")
        arguments = self.expressions()
        self.expect_operator(")")
        if len(arguments) != 3:
            raise SqlError(40517, "RAISERROR arguments")
        return commands.RaiseError(*arguments)

    def _wait(self) -> Node:
        self.expect("WAITFOR")
        if not self.accept("DELAY"):
            raise SqlError(40510, f"WAITFOR {self.token.word}")
        return commands.WaitFor(self._text())

    def _kill(self) -> Node:
        self.expect("KILL")
        value = self.expression()
        if not isinstance(value, tree.Literal) or value.type is not INT:
            raise self.error()
        return commands.Kill(value.value)
