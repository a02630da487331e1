"""Runs batches: control flow, variables, errors, transactions; hands the rest to whom it concerns."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import apsw

from local.sqlserver.datatypes import NVARCHAR_MAX
from local.sqlserver.engine import modification
from local.sqlserver.engine.administration import Administration
from local.sqlserver.engine.definition import Definition
from local.sqlserver.engine.errors import STANDIN_FAILURE, SqlError, message
from local.sqlserver.engine.events import Cancelled, Done, Event, Message, TransactionChanged
from local.sqlserver.engine.session import Session, Variable
from local.sqlserver.engine.values import convert, from_storage, to_storage
from local.sqlserver.syntax import commands, tree
from local.sqlserver.syntax.batch import MAX_NAME, parse

if TYPE_CHECKING:
    from local.sqlserver.engine.instance import Instance

log = logging.getLogger(__name__)

# After these the batch goes on with its next statement (unless XACT_ABORT is on); after others it ends.
_STATEMENT_ERRORS = frozenset(
    {229, 515, 547, 1222, 1505, 2601, 2627, 2628, 3701, 3702, 8134, 8152, 8928, 50000, 512}
)
_BACKUP_ERRORS = range(3000, 4400)
_DEADLOCK, _SNAPSHOT_CONFLICT = 1205, 3960
_MAX_NESTING = 32
_ROUTINE = (
    tree.CreateTable,
    tree.AlterTable,
    tree.CreateIndex,
    tree.DropIndex,
    tree.DropTable,
    tree.CreateSchema,
    tree.DropSchema,
)


class _Returned(Exception):  # noqa: N818 -- control flow
    """RETURN."""


class _BatchEnded(Exception):  # noqa: N818 -- control flow
    """An error ended the batch; its messages were sent."""


class Interpreter:
    """Runs batches for sessions."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def run(self, session: Session, text: str, parameters: Mapping[str, Variable]) -> Iterator[Event]:
        """Run a batch; errors become messages, never exceptions."""
        variables = dict(parameters)
        try:
            yield from _Batch(session, variables, 0).run_text(text)
        except _BatchEnded:
            pass
        except _Returned:
            yield Done()
        if session.transaction is not None and session.transaction.doomed:
            session.abandon()
            yield TransactionChanged("rollback")
            yield message(3998)


class _Batch:
    """One batch, or one EXEC (…) inside it."""

    def __init__(self, session: Session, variables: dict[str, Variable], depth: int) -> None:
        self._session = session
        self._variables = variables
        self._depth = depth
        self._in_try = 0

    def run_text(self, text: str) -> Iterator[Event]:
        """Parse and run."""
        try:
            statements = parse(text)
        except SqlError as error:
            self._session.last_error = error.number
            yield from error.messages
            raise _BatchEnded from None
        yield from self._run_all(statements)

    def _run_all(self, statements: tuple[tree.Node, ...]) -> Iterator[Event]:
        for statement in statements:
            self._session.check_cancelled()
            yield from self._run_one(statement)

    def _run_one(self, node: tree.Node) -> Iterator[Event]:
        """Run a statement and deal with its failure."""
        session = self._session
        try:
            yield from self._dispatch(node)
        except (_BatchEnded, _Returned, Cancelled):
            raise
        except SqlError as failure:
            error = failure
        except apsw.Error as failure:
            error = _translated(session, failure)
        except Exception as failure:
            log.exception("a statement failed in a way that this server does not understand")
            error = SqlError(STANDIN_FAILURE, f"stand-in failure: {type(failure).__name__}: {failure}")
        else:
            if not isinstance(node, (commands.If, commands.Block, commands.TryCatch, commands.Declare)):
                session.last_error = 0
            return
        if self._in_try and error.messages[0].severity < 20:
            raise error
        yield from self._failed(error)

    def _failed(self, error: SqlError) -> Iterator[Event]:
        session = self._session
        session.last_error = error.number
        session.row_count = 0
        yield from error.messages
        fatal = error.number in (_DEADLOCK, _SNAPSHOT_CONFLICT)
        goes_on = error.number in _STATEMENT_ERRORS or error.number in _BACKUP_ERRORS
        if session.transaction is not None and (fatal or session.settings.xact_abort):
            session.abandon()
            yield TransactionChanged("rollback")
            goes_on = False
        elif session.settings.xact_abort and error.number not in (STANDIN_FAILURE,):
            goes_on = False
        yield Done()
        if not goes_on or fatal:
            raise _BatchEnded

    def _dispatch(self, node: tree.Node) -> Iterator[Event]:
        session = self._session
        match node:
            case tree.SelectStatement(query):
                yield from self._select(query)
            case tree.Insert() | tree.Update() | tree.Delete() | tree.Truncate():
                yield from modification.Modification(session, self._variables).run(node)
            case commands.Block(statements):
                yield from self._run_all(statements)
            case commands.If(condition, positive, negative):
                if modification.test(session, condition, self._variables):
                    yield from self._run_one(positive)
                elif negative is not None:
                    yield from self._run_one(negative)
                else:
                    yield Done()
            case commands.TryCatch():
                yield from self._try(node)
            case commands.Declare(variables):
                self._declare(variables)
            case commands.SetVariable(name, value):
                self._assign(name, *modification.evaluate(session, value, self._variables))
            case commands.ExecuteText(text):
                yield from self._execute_text(str(self.value(text) or ""))
            case commands.ExecuteProcedure():
                yield from self._execute_procedure(node)
            case commands.Return():
                raise _Returned
            case _:
                yield from self._command(node)

    def _command(self, node: tree.Node) -> Iterator[Event]:
        session = self._session
        if isinstance(node, _ROUTINE):
            Definition(session).run(node)
            yield Done()
            return
        match node:
            case commands.Print(value):
                text = convert(*self._stored(value), NVARCHAR_MAX) or ""
                yield Message(0, text, 0)
                yield Done()
            case commands.Throw():
                raise self._thrown(node)
            case commands.RaiseError(text, severity, state):
                yield from self._raise(
                    str(self.value(text)), int(self.value(severity)), int(self.value(state))
                )
            case commands.BeginTransaction():
                yield from self._begin(node)
            case commands.CommitTransaction():
                yield from session.commit()
                yield Done()
            case commands.RollbackTransaction():
                yield from session.rollback()
                yield Done()
            case _:
                yield from Administration(session, self.value).run(node)

    # --- values

    def _stored(self, node: tree.Node) -> tuple[Any, Any]:
        kind, value = modification.evaluate(self._session, node, self._variables)
        return (to_storage(kind, value) if kind else None), kind

    def value(self, node: tree.Node) -> Any:
        """The Python value of an expression; an untyped literal stands for itself."""
        if isinstance(node, tree.Literal) and node.type is None:
            return node.value
        return modification.evaluate(self._session, node, self._variables)[1]

    def _declare(self, variables: tuple[tuple[str, Any, tree.Node | None], ...]) -> None:
        for name, kind, initial in variables:
            if name in self._variables:
                raise SqlError(134, name)
            self._variables[name] = Variable(kind, None)
            if initial is not None:
                self._assign(name, *modification.evaluate(self._session, initial, self._variables))

    def _assign(self, name: str, kind: Any, value: Any) -> None:
        variable = self._variables.get(name)
        if variable is None:
            raise SqlError(137, name)
        stored = convert(to_storage(kind, value), kind, variable.type) if kind else None
        variable.value = from_storage(variable.type, stored)

    # --- statements

    def _select(self, query: tree.Query) -> Iterator[Event]:
        session = self._session
        items = query.body.items if isinstance(query.body, tree.Select) else ()
        columns, rows = modification.run_query(session, query, self._variables)
        if any(item.variable for item in items):
            if not all(item.variable for item in items):
                raise SqlError(141)
            for row in rows[-1:]:
                for item, (_, kind), stored in zip(items, columns, row, strict=True):
                    value = from_storage(kind, stored) if kind else None
                    self._assign(item.variable or "", kind, value)
            session.row_count = len(rows)
            yield Done(None if session.settings.nocount else len(rows))
            return
        session.row_count = len(rows)
        yield modification.result_set(columns, rows)

    def _execute_text(self, text: str) -> Iterator[Event]:
        if self._depth >= _MAX_NESTING:
            raise SqlError(217)
        inner = _Batch(self._session, {}, self._depth + 1)
        inner._in_try = self._in_try
        try:
            yield from inner.run_text(text)
        except _Returned:
            return

    def _execute_procedure(self, node: commands.ExecuteProcedure) -> Iterator[Event]:
        name = node.procedure[-1].lower()
        arguments = []
        for _, argument in node.arguments:
            kind, value = modification.evaluate(self._session, argument, self._variables)
            arguments.append(Variable(kind or NVARCHAR_MAX, value))
        if name == "sp_executesql" and arguments:
            variables = self._declared(str(arguments[1].value) if len(arguments) > 1 else "", arguments[2:])
            yield from _Batch(self._session, variables, self._depth + 1).run_text(str(arguments[0].value))
            return
        yield from self._session.call(name, arguments)

    def _declared(self, declaration: str, values: list[Variable]) -> dict[str, Variable]:
        names = re.findall(r"@[\w@$#]+", declaration)
        return {name.lower(): value for name, value in zip(names, values, strict=False)}

    def _try(self, node: commands.TryCatch) -> Iterator[Event]:
        session = self._session
        self._in_try += 1
        try:
            yield from self._run_all(node.body.statements)
        except SqlError as error:
            caught = error
        else:
            return
        finally:
            self._in_try -= 1
        session.last_error = caught.number
        if session.transaction is not None:
            if caught.number in (_DEADLOCK, _SNAPSHOT_CONFLICT):
                session.abandon()
                yield TransactionChanged("rollback")
            elif session.settings.xact_abort:
                session.transaction.doomed = True
        outer, session.caught = session.caught, caught.messages[0]
        try:
            yield from self._run_all(node.handler.statements)
        finally:
            session.caught = outer

    def _thrown(self, node: commands.Throw) -> SqlError:
        if node.number is None or node.text is None or node.state is None:
            if self._session.caught is None:
                return SqlError(10704)
            return SqlError.raised(self._session.caught)
        number, text = int(self.value(node.number)), str(self.value(node.text))
        return SqlError.raised(Message(number, text, 16, int(self.value(node.state))))

    def _raise(self, text: str, severity: int, state: int) -> Iterator[Event]:
        content = Message(STANDIN_FAILURE, text, severity, state)
        if content.is_error:
            raise SqlError.raised(content)
        yield content
        yield Done()

    def _begin(self, node: commands.BeginTransaction) -> Iterator[Event]:
        session = self._session
        name = str(self.value(node.name) or "")[:MAX_NAME] if node.name is not None else ""
        if node.mark and not name:
            raise SqlError(3901)
        description = str(self.value(node.description) or "")[:255] if node.description is not None else ""
        marked = session.transaction is not None and session.transaction.mark is not None
        yield from session.begin(name, None if marked or not node.mark else description)
        if node.mark and marked:
            yield message(3920)
        yield Done()


def _translated(session: Session, failure: apsw.Error) -> SqlError:
    """What a failure of SQLite means in SQL Server's words."""
    if isinstance(failure, apsw.BusyError):
        transaction = session.transaction
        if transaction is not None and transaction.snapshot:
            return SqlError(_SNAPSHOT_CONFLICT, "", session.database)
        return SqlError(_DEADLOCK, session.spid)
    if "integer overflow" in str(failure):
        return SqlError(8115, "expression", "bigint")
    if isinstance(failure, (apsw.CorruptError, apsw.NotADBError)):
        return SqlError(824, session.database)
    log.error("SQLite refused: %s", failure)
    return SqlError(STANDIN_FAILURE, f"stand-in failure: {failure}")
