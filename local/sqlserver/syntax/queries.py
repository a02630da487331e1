"""Queries and data modification: SELECT, INSERT, UPDATE, DELETE, TRUNCATE TABLE."""

from __future__ import annotations

from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.expressions import ExpressionParser
from local.sqlserver.syntax.tree import Node

_HINTS = frozenset(
    {"TABLOCK", "TABLOCKX", "HOLDLOCK", "NOLOCK", "READUNCOMMITTED", "READCOMMITTED", "UPDLOCK", "ROWLOCK"}
)
# Clauses of SELECT that the real server knows and this one does not.
_REFUSED_CLAUSES = ("FOR", "OPTION", "WINDOW", "PIVOT", "UNPIVOT")


class QueryParser(ExpressionParser):
    """Parses queries and DML statements."""

    def query(self) -> tree.Query:
        """A query with its common table expressions, order and paging."""
        expressions = self._common_table_expressions()
        return self._query_after(expressions)

    def _query_after(self, expressions: tuple[tuple[str, tuple[str, ...], tree.Query], ...]) -> tree.Query:
        body = self._set_expression()
        order_by = self.orderings() if self.accept("ORDER", "BY") else ()
        offset = fetch = None
        if order_by and self.accept("OFFSET"):
            offset = self.expression()
            if not self.accept("ROWS"):
                self.expect("ROW")
            if self.accept("FETCH"):
                if not self.accept("NEXT"):
                    self.expect("FIRST")
                fetch = self.expression()
                if not self.accept("ROWS"):
                    self.expect("ROW")
                self.expect("ONLY")
        for word in _REFUSED_CLAUSES:
            if self.is_word(word):
                raise SqlError(40517, word)
        return tree.Query(body, expressions, order_by, offset, fetch)

    def _common_table_expressions(self) -> tuple[tuple[str, tuple[str, ...], tree.Query], ...]:
        if not self.accept("WITH"):
            return ()
        out = []
        while True:
            name = self.name()
            columns = self.name_list() if self.is_operator("(") else ()
            self.expect("AS")
            self.expect_operator("(")
            out.append((name, columns, self.query()))
            self.expect_operator(")")
            if not self.accept_operator(","):
                return tuple(out)

    def _set_expression(self) -> Node:
        left = self._intersection()
        while self.is_word("UNION") or self.is_word("EXCEPT"):
            operator = self.advance().word
            if operator == "UNION" and self.accept("ALL"):
                operator = "UNION ALL"
            left = tree.SetOperation(operator, left, self._intersection())
        return left

    def _intersection(self) -> Node:
        left = self._operand()
        while self.accept("INTERSECT"):
            left = tree.SetOperation("INTERSECT", left, self._operand())
        return left

    def _operand(self) -> Node:
        if self.accept_operator("("):
            inner = self._set_expression()
            self.expect_operator(")")
            return inner
        return self._select()

    def _select(self) -> tree.Select:
        self.expect("SELECT")
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        top = self._top()
        items = self._items()
        if self.is_word("INTO"):
            raise SqlError(40510, "SELECT INTO")
        source = self._source() if self.accept("FROM") else None
        where = self.condition() if self.accept("WHERE") else None
        group_by = self.expressions() if self.accept("GROUP", "BY") else ()
        having = self.condition() if self.accept("HAVING") else None
        return tree.Select(items, distinct, top, source, where, group_by, having)

    def _top(self) -> Node | None:
        if not self.accept("TOP"):
            return None
        if self.accept_operator("("):
            value = self.expression()
            self.expect_operator(")")
        else:
            value = tree.Literal(self.integer(), None)
        if self.is_word("PERCENT") or self.is_word("WITH", "TIES"):
            raise SqlError(40517, self.token.word)
        return value

    def _items(self) -> tuple[tree.Item, ...]:
        items = [self._item()]
        while self.accept_operator(","):
            items.append(self._item())
        return tuple(items)

    def _item(self) -> tree.Item:
        if self.accept_operator("*"):
            return tree.Item(tree.Star())
        if self.token.kind == "variable" and self.ahead().text == "=":
            variable = self.advance().text.lower()
            self.advance()
            return tree.Item(self.expression(), None, variable)
        if self.is_name() and self.ahead().text == "=":
            alias = self.name()
            self.advance()
            return tree.Item(self.expression(), alias)
        if (star := self._qualified_star()) is not None:
            return tree.Item(star)
        return tree.Item(self.expression(), self._column_alias())

    def _qualified_star(self) -> tree.Star | None:
        start = self.at
        parts: list[str] = []
        while self.is_name() and self.ahead().text == ".":
            parts.append(self.name())
            self.advance()
            if self.accept_operator("*"):
                return tree.Star(tuple(parts))
        self.at = start
        return None

    def _column_alias(self) -> str | None:
        if self.accept("AS"):
            return self.string() if self.token.kind in ("string", "nstring") else self.name()
        return self.name() if self.is_name() and not self._starts_statement() else None

    def _starts_statement(self) -> bool:
        """Whether an unreserved word here starts the next statement rather than being an alias."""
        return self.is_word("THROW") or self.is_word("GO") or self.is_word("OFFSET")

    # --- FROM

    def _source(self) -> Node:
        left = self._joined()
        while self.accept_operator(","):
            left = tree.Join("CROSS", left, self._joined(), None)
        return left

    def _joined(self) -> Node:
        left = self._table()
        while True:
            if self.accept("CROSS", "JOIN"):
                left = tree.Join("CROSS", left, self._table(), None)
                continue
            if self.is_word("CROSS") or self.is_word("OUTER"):
                raise SqlError(40517, "APPLY")
            kind = next((k for k in ("INNER", "LEFT", "RIGHT", "FULL") if self.accept(k)), None)
            if kind not in (None, "INNER"):
                self.accept("OUTER")
            if kind is None and not self.is_word("JOIN"):
                return left
            self.expect("JOIN")
            right = self._joined() if self.is_operator("(") else self._table()
            self.expect("ON")
            left = tree.Join(kind or "INNER", left, right, self.condition())

    def _table(self) -> Node:
        if self.accept_operator("("):
            if self.accept("VALUES"):
                rows = self._rows()
                self.expect_operator(")")
                self.accept("AS")
                return tree.ValuesTable(rows, self.name(), self.name_list())
            if self.is_word("SELECT") or self.is_word("WITH"):
                query = self.query()
                self.expect_operator(")")
                alias = self._table_alias()
                if alias is None:
                    raise self.error()
                return tree.Derived(query, alias, self.name_list() if self.is_operator("(") else ())
            inner = self._source()
            self.expect_operator(")")
            return inner
        return self._named_table()

    def _named_table(self) -> tree.Table:
        parts = self.dotted_name()
        if not self.accept_operator("("):
            return tree.Table(parts, self._table_alias(), self._table_hints())
        arguments = () if self.is_operator(")") else self.expressions()
        self.expect_operator(")")
        return tree.Table(parts, self._table_alias(), arguments=arguments)

    def _table_alias(self) -> str | None:
        if self.accept("AS"):
            return self.name()
        return self.name() if self.is_name() and not self._starts_statement() else None

    def _table_hints(self) -> frozenset[str]:
        if not (self.is_word("WITH") and self.ahead().text == "("):
            return frozenset()
        self.at += 2
        hints = set()
        while not self.accept_operator(")"):
            word = self.advance().word
            if word not in _HINTS:
                raise SqlError(40517, word or "table hint")
            hints.add(word)
            self.accept_operator(",")
        return frozenset(hints)

    def _rows(self) -> tuple[tuple[Node, ...], ...]:
        rows = []
        while True:
            self.expect_operator("(")
            rows.append(self.expressions())
            self.expect_operator(")")
            if not self.accept_operator(","):
                return tuple(rows)

    # --- data modification

    def select_statement(self) -> tree.Node:
        """SELECT, or WITH … followed by SELECT, INSERT, UPDATE or DELETE."""
        expressions = self._common_table_expressions()
        if expressions and not self.is_word("SELECT"):
            raise SqlError(40510, f"WITH … {self.token.text}")
        return tree.SelectStatement(self._query_after(expressions))

    def insert_statement(self) -> tree.Insert:
        """INSERT [INTO] table …."""
        self.expect("INSERT")
        self.accept("INTO")
        table = tree.Table(self.dotted_name(), None, self._table_hints())
        columns = self.name_list() if self.is_operator("(") else ()
        output = self._output()
        if self.accept("DEFAULT", "VALUES"):
            return tree.Insert(table, columns, output=output)
        if self.accept("VALUES"):
            return tree.Insert(table, columns, self._insert_rows(), output=output)
        if self.is_word("EXEC") or self.is_word("EXECUTE"):
            raise SqlError(40510, "INSERT … EXEC")
        return tree.Insert(table, columns, (), self.query(), output)

    def _insert_rows(self) -> tuple[tuple[Node | None, ...], ...]:
        rows = []
        while True:
            self.expect_operator("(")
            row = [self._insert_value()]
            while self.accept_operator(","):
                row.append(self._insert_value())
            self.expect_operator(")")
            rows.append(tuple(row))
            if not self.accept_operator(","):
                break
        if len(rows) > 1000:
            raise SqlError(10330, "insert more than 1000 row values")
        return tuple(rows)

    def _insert_value(self) -> Node | None:
        return None if self.accept("DEFAULT") else self.expression()

    def _output(self) -> tuple[tree.Item, ...]:
        if not self.accept("OUTPUT"):
            return ()
        items = self._items()
        if self.is_word("INTO"):
            raise SqlError(40517, "OUTPUT … INTO")
        return items

    def update_statement(self) -> tree.Update:
        """UPDATE table SET … [OUTPUT …] [FROM …] [WHERE …]."""
        self.expect("UPDATE")
        if self.is_word("TOP"):
            raise SqlError(40517, "TOP")
        table = tree.Table(self.dotted_name(), None, self._table_hints())
        self.expect("SET")
        assignments = [self._assignment()]
        while self.accept_operator(","):
            assignments.append(self._assignment())
        output = self._output()
        source = self._source() if self.accept("FROM") else None
        where = self.condition() if self.accept("WHERE") else None
        return tree.Update(table, tuple(assignments), source, where, output)

    def _assignment(self) -> tuple[str, Node]:
        column = self.dotted_name()[-1]
        for operator in ("+=", "-=", "*=", "/="):
            if self.accept_operator(operator):
                return column, tree.Binary(operator[0], tree.Name((column,)), self.expression())
        self.expect_operator("=")
        return column, self.expression()

    def delete_statement(self) -> tree.Delete:
        """DELETE [TOP (n)] [FROM] table [OUTPUT …] [FROM …] [WHERE …]."""
        self.expect("DELETE")
        top = None
        if self.accept("TOP"):
            self.expect_operator("(")
            top = self.expression()
            self.expect_operator(")")
            if self.is_word("PERCENT"):
                raise SqlError(40517, "TOP … PERCENT")
        self.accept("FROM")
        table = tree.Table(self.dotted_name(), None, self._table_hints())
        output = self._output()
        source = self._source() if self.accept("FROM") else None
        where = self.condition() if self.accept("WHERE") else None
        return tree.Delete(table, source, where, output, top)

    def truncate_statement(self) -> tree.Truncate:
        """TRUNCATE TABLE."""
        self.expect("TRUNCATE", "TABLE")
        return tree.Truncate(self.dotted_name())
