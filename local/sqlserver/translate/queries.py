# ruff: noqa: S608 -- every name is quoted, every value is a binding or an escaped literal
"""Queries: sources, select lists, grouping, set operations, order and paging.

Every query is given columns ``c1``, ``c2`` … in SQLite: names in SQL Server may be missing or repeated.
"""

from __future__ import annotations

import dataclasses

from local.sqlserver.datatypes import INT, SqlType, common
from local.sqlserver.engine.errors import SqlError, unsupported
from local.sqlserver.engine.storage import quoted
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.tree import Node
from local.sqlserver.translate.conversion import collation_of, convert
from local.sqlserver.translate.expressions import ExpressionTranslator
from local.sqlserver.translate.functions import is_aggregate
from local.sqlserver.translate.scope import Bound, Scope, Source

type Columns = list[tuple[str, SqlType | None]]


def contains_aggregate(node: object) -> bool:
    """Whether an expression aggregates, outside of the queries within it."""
    if isinstance(node, tree.Query):
        return False
    if isinstance(node, tree.Call) and is_aggregate(node):
        return True
    if isinstance(node, tuple):
        return any(contains_aggregate(item) for item in node)
    if isinstance(node, Node) and dataclasses.is_dataclass(node):
        return any(contains_aggregate(getattr(node, f.name)) for f in dataclasses.fields(node))
    return False


class QueryTranslator(ExpressionTranslator):
    """Translates queries."""

    def query(self, query: tree.Query, outer: Scope | None) -> tuple[str, Columns]:
        """A query's SQL, with columns ``c1`` …, and the names and types of its columns."""
        scope = Scope(outer=outer)
        clauses = []
        for name, columns, inner in query.expressions:
            sql, found = self.query(inner, scope)
            named = self._named(name, found, columns)
            source_sql = quoted(f"cte {name}")
            clauses.append(f"{source_sql} AS MATERIALIZED ({sql})")
            scope.expressions[name.casefold()] = Source(name, named, source_sql)
        sql, result = self._ordered(query, scope)
        return (f"WITH {', '.join(clauses)} {sql}" if clauses else sql), result

    def _named(self, name: str, found: Columns, columns: tuple[str, ...]) -> Columns:
        if columns and len(columns) != len(found):
            raise SqlError(8158 if len(found) > len(columns) else 8159, name)
        names = columns or tuple(column for column, _ in found)
        for number, column in enumerate(names, start=1):
            if not column:
                raise SqlError(8155, number, name)
        return [(column, kind) for column, (_, kind) in zip(names, found, strict=True)]

    def _ordered(self, query: tree.Query, scope: Scope) -> tuple[str, Columns]:
        body = query.body
        if isinstance(body, tree.Select):
            inner = Scope(outer=scope)
            sql, columns = self._select(body, inner)
            order = self._order(query.order_by, columns, body, inner)
            top = self.value(body.top, inner).sql if body.top is not None else None
        else:
            sql, columns = self._body(body, scope)
            order, top = self._order(query.order_by, columns, None, None), None
            if order:
                sql = f"SELECT * FROM ({sql})"
        if top is not None and query.offset is not None:
            raise SqlError(10741)
        limit = f" LIMIT {top}" if top is not None else ""
        if query.offset is not None:
            fetch = self.value(query.fetch, Scope(outer=scope)).sql if query.fetch is not None else "-1"
            limit = f" LIMIT {fetch} OFFSET {self.value(query.offset, Scope(outer=scope)).sql}"
        return sql + order + limit, columns

    def _body(self, node: Node, scope: Scope) -> tuple[str, Columns]:
        """A SELECT or set operation as an operand: it carries no order."""
        if isinstance(node, tree.Select):
            inner = Scope(outer=scope)
            sql, columns = self._select(node, inner)
            if node.top is not None:
                sql = f"SELECT * FROM ({sql} LIMIT {self.value(node.top, inner).sql})"
            return sql, columns
        if not isinstance(node, tree.SetOperation):
            raise unsupported(type(node).__name__)
        left_sql, left = self._body(node.left, scope)
        right_sql, right = self._body(node.right, scope)
        if len(left) != len(right):
            raise SqlError(205)
        kinds = [common(a, b) for (_, a), (_, b) in zip(left, right, strict=True)]
        first, second = self._as_types(left_sql, left, kinds), self._as_types(right_sql, right, kinds)
        sql = f"{first} {node.operator} {second}"
        return f"SELECT * FROM ({sql})", [(n, k) for (n, _), k in zip(left, kinds, strict=True)]

    def _as_types(self, sql: str, columns: Columns, kinds: list[SqlType | None]) -> str:
        items = [
            f"{convert(Bound(f'c{i}', have), want).sql}{collation_of(want)} AS c{i}"
            for i, ((_, have), want) in enumerate(zip(columns, kinds, strict=True), start=1)
        ]
        return f"SELECT {', '.join(items)} FROM ({sql})"

    # --- one SELECT

    def _select(self, select: tree.Select, scope: Scope) -> tuple[str, Columns]:
        source = self.source(select.source, scope) if select.source is not None else None
        where = self.condition(select.where, scope) if select.where is not None else None
        groups = [self.value(node, scope) for node in select.group_by]
        aggregated = bool(groups) or contains_aggregate(tuple(select.items)) or select.having is not None
        if aggregated:
            scope.grouped = (frozenset(select.group_by), frozenset(g.sql for g in groups))
        items: list[str] = []
        columns: Columns = []
        for item in self._expand(select.items, scope):
            bound = self.value(item.operand, scope)
            collation = collation_of(bound.type, bound.sql) if select.distinct else ""
            items.append(f"{bound.sql}{collation} AS c{len(items) + 1}")
            columns.append((_column_name(item), bound.type))
        sql = f"SELECT {'DISTINCT ' if select.distinct else ''}{', '.join(items)}"
        sql += f" FROM {source}" if source else ""
        sql += f" WHERE {where}" if where else ""
        if groups:
            sql += " GROUP BY " + ", ".join(g.sql + collation_of(g.type, g.sql) for g in groups)
        if select.having is not None:
            sql += f" HAVING {self.condition(select.having, scope)}"
        return sql, columns

    def _expand(self, items: tuple[tree.Item, ...], scope: Scope) -> list[tree.Item]:
        out = []
        for item in items:
            if not isinstance(item.operand, tree.Star):
                out.append(item)
                continue
            qualifier = item.operand.qualifier
            chosen = [
                s for s in scope.sources if not qualifier or s.alias.casefold() == qualifier[-1].casefold()
            ]
            if not chosen:
                raise SqlError(102, "*") if not qualifier else SqlError(4104, ".".join((*qualifier, "*")))
            out += [tree.Item(tree.Name((s.alias, name)), name) for s in chosen for name, _ in s.columns]
        return out

    def _order(
        self,
        items: tuple[tree.Ordering, ...],
        columns: Columns,
        select: tree.Select | None,
        scope: Scope | None,
    ) -> str:
        if not items:
            return ""
        parts = []
        for item in items:
            bound = self._order_item(item.operand, columns, select, scope)
            direction = " DESC" if item.descending else ""
            parts.append(f"{bound.sql}{collation_of(bound.type, bound.sql)}{direction}")
        return " ORDER BY " + ", ".join(parts)

    def _order_item(
        self, node: Node, columns: Columns, select: tree.Select | None, scope: Scope | None
    ) -> Bound:
        if isinstance(node, tree.Literal) and node.type is INT:
            if not 1 <= node.value <= len(columns):
                raise SqlError(108, node.value)
            return Bound(f"c{node.value}", columns[node.value - 1][1])
        if isinstance(node, tree.Name) and len(node.parts) == 1:
            wanted = node.parts[0].casefold()
            for number, (name, kind) in enumerate(columns, start=1):
                if name.casefold() == wanted:
                    return Bound(f"c{number}", kind)
        if scope is None or select is None:
            raise SqlError(104)
        return self.value(node, scope)

    # --- FROM

    def source(self, node: Node, scope: Scope) -> str:
        """The SQL of FROM; its sources enter the scope."""
        match node:
            case tree.Table():
                return self._add(self._table(node, scope), scope)
            case tree.Derived(query, alias, columns):
                sql, found = self.query(query, scope.outer)
                return self._add(self._renamed(alias, self._named(alias, found, columns), sql), scope)
            case tree.ValuesTable(rows, alias, columns):
                return self._add(self._values(rows, alias, columns, scope), scope)
            case tree.Join(kind, left, right, on):
                left_sql, right_sql = self.source(left, scope), self.source(right, scope)
                if on is None:
                    return f"{left_sql} CROSS JOIN {right_sql}"
                return f"{left_sql} {kind} JOIN {right_sql} ON {self.condition(on, scope)}"
        raise unsupported(type(node).__name__)

    def _add(self, source: Source, scope: Scope) -> str:
        if any(s.alias.casefold() == source.alias.casefold() for s in scope.sources):
            raise SqlError(1013, source.alias, source.alias)
        scope.sources.append(source)
        return source.sql

    def _table(self, table: tree.Table, scope: Scope) -> Source:
        if len(table.parts) == 1:
            found = scope.common_table_expression(table.parts[0])
            if found is not None:
                alias = table.alias or found.alias
                return self._renamed(alias, list(found.columns), f"SELECT * FROM {found.sql}")
        return self.environment.table(table)

    def _renamed(self, alias: str, columns: Columns, sql: str) -> Source:
        names = ", ".join(f"c{i} AS {quoted(name)}" for i, (name, _) in enumerate(columns, start=1))
        return Source(alias, columns, f"(SELECT {names} FROM ({sql})) AS {quoted(alias)}")

    def _values(
        self, rows: tuple[tuple[Node, ...], ...], alias: str, names: tuple[str, ...], scope: Scope
    ) -> Source:
        bound = [[self.value(node, Scope(outer=scope.outer)) for node in row] for row in rows]
        if any(len(row) != len(names) for row in bound):
            raise SqlError(10709)
        kinds: list[SqlType | None] = [None] * len(names)
        for row in bound:
            kinds = [common(kind, value.type) for kind, value in zip(kinds, row, strict=True)]
        selects = []
        for row in bound:
            items = [
                f"{convert(value, kind).sql} AS c{i}"
                for i, (value, kind) in enumerate(zip(row, kinds, strict=True), start=1)
            ]
            selects.append("SELECT " + ", ".join(items))
        return self._renamed(alias, list(zip(names, kinds, strict=True)), " UNION ALL ".join(selects))


def _column_name(item: tree.Item) -> str:
    if item.alias is not None:
        return item.alias
    return item.operand.parts[-1] if isinstance(item.operand, tree.Name) else ""
