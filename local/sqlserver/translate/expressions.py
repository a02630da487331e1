# ruff: noqa: S608 -- every name is quoted, every value is a binding or an escaped literal
"""Values and conditions."""

from __future__ import annotations

from local.sqlserver.datatypes import (
    INT,
    SqlType,
    common,
    nvarchar,
    varchar,
)
from local.sqlserver.engine.errors import SqlError, unsupported
from local.sqlserver.engine.storage import COLLATION
from local.sqlserver.engine.values import to_storage
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.tree import Node
from local.sqlserver.translate import functions
from local.sqlserver.translate.conversion import collation_of, convert, sql_literal
from local.sqlserver.translate.scope import Bound, Environment, Scope

_CASE_SENSITIVE = ("_bin", "_bin2", "_cs_as")


class ExpressionTranslator:
    """Translates expressions in a scope."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def query(self, query: tree.Query, outer: Scope | None) -> tuple[str, list[tuple[str, SqlType | None]]]:
        """A query's SQL and columns; provided by the next class."""
        raise NotImplementedError

    # --- values

    def value(self, node: Node, scope: Scope) -> Bound:
        """Translate a value."""
        if scope.grouped is not None and not scope.in_aggregate and node in scope.grouped[0]:
            scope.in_aggregate += 1  # a GROUP BY expression may name its columns
            try:
                return self._value(node, scope)
            finally:
                scope.in_aggregate -= 1
        return self._value(node, scope)

    def _value(self, node: Node, scope: Scope) -> Bound:
        match node:
            case tree.Literal(value, kind):
                return Bound(sql_literal(to_storage(kind, value) if kind else value), kind)
            case tree.Name(parts):
                return self._column(parts, scope)
            case tree.Variable(name):
                return self.environment.variable(name)
            case tree.Unary(operator, operand):
                inner = self.value(operand, scope)
                if operator not in ("-", "+", "~") or (
                    inner.type and inner.type.family not in functions.NUMERIC
                ):
                    raise SqlError(402, str(inner.type and inner.type.name), "int", operator)
                return Bound(f"({operator} {inner.sql})", inner.type)
            case tree.Binary():
                return self._arithmetic(node, scope)
            case tree.Cast(operand, kind, style, forgiving):
                style_sql = self.value(style, scope).sql if style else "NULL"
                return convert(self.value(operand, scope), kind, style_sql, forgiving=forgiving)
            case tree.Case():
                return self._case(node, scope)
            case tree.Subquery(query):
                return self._subquery(query, scope)
            case tree.Collate(operand, collation):
                if not collation.lower().endswith((*_CASE_SENSITIVE, "_ci_as", "database_default")):
                    raise SqlError(40517, f"COLLATE {collation}")
                name = "BINARY" if collation.lower().endswith(_CASE_SENSITIVE) else COLLATION
                inner = self.value(operand, scope)
                return Bound(f"({inner.sql} COLLATE {name})", inner.type)
            case tree.Call():
                return functions.call(self, node, scope)
        raise unsupported(type(node).__name__)

    def _column(self, parts: tree.NameParts, scope: Scope) -> Bound:
        bound, found_in = scope.resolve(parts)
        if (
            found_in.grouped is not None
            and not found_in.in_aggregate
            and bound.sql not in found_in.grouped[1]
        ):
            raise SqlError(8120, ".".join(parts))
        return bound

    def _arithmetic(self, node: tree.Binary, scope: Scope) -> Bound:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        kind = common(left.type, right.type)
        operator = node.operator
        if kind is None:
            return Bound("NULL", INT)
        if operator == "+" and kind.family == "char":
            return self._concatenate(left, right, kind)
        if kind.family not in functions.NUMERIC or operator not in ("+", "-", "*", "/", "%", "&", "|"):
            names = [t.name if t else "NULL" for t in (left.type, right.type)]
            raise SqlError(402, *names, {"+": "add", "-": "subtract"}.get(operator, operator))
        if kind.name in ("bit", "tinyint", "smallint"):
            kind = INT
        if kind.family == "decimal" and operator in ("*", "/", "%"):
            return functions.decimal_arithmetic(left, right, operator)
        a, b = convert(left, kind).sql, convert(right, kind).sql
        if operator in ("/", "%"):
            return Bound(f"ts_divide({a}, {b}, '{operator}')", kind)
        if kind.family == "int":
            return Bound(f"ts_int({a} {operator} {b}, '{kind.name}')", kind)
        return Bound(f"({a} {operator} {b})", kind)

    def _concatenate(self, left: Bound, right: Bound, kind: SqlType) -> Bound:
        lengths = [t.length if t else 0 for t in (left.type, right.type)]
        total = None if None in lengths else sum(x or 0 for x in lengths) or 1
        limit = 4000 if kind.name.startswith("n") else 8000
        make = nvarchar if kind.name.startswith("n") else varchar
        target = make(total if total is None else min(total, limit))
        unbounded = make(None)
        return Bound(f"({convert(left, unbounded).sql} || {convert(right, unbounded).sql})", target)

    def _case(self, node: tree.Case, scope: Scope) -> Bound:
        results = [self.value(result, scope) for _, result in node.branches]
        if node.default is not None:
            results.append(self.value(node.default, scope))
        kind: SqlType | None = None
        for result in results:
            kind = common(kind, result.type)
        parts = ["CASE"]
        for (test, _), result in zip(node.branches, results, strict=False):
            if node.operand is None:
                condition = self.condition(test, scope)
            else:
                condition = self._compare("=", self.value(node.operand, scope), self.value(test, scope))
            parts.append(f"WHEN {condition} THEN {convert(result, kind).sql}")
        if node.default is not None:
            parts.append(f"ELSE {convert(results[-1], kind).sql}")
        return Bound(" ".join([*parts, "END"]), kind or INT)

    def _subquery(self, query: tree.Query, scope: Scope) -> Bound:
        sql, columns = self.query(query, scope)
        if len(columns) != 1:
            raise SqlError(102, ",")
        return Bound(f"(SELECT ts_single(c1) FROM ({sql}))", columns[0][1])

    # --- conditions

    def condition(self, node: Node, scope: Scope) -> str:
        """Translate a condition."""
        match node:
            case tree.Binary(("AND" | "OR") as operator, left, right):
                return f"({self.condition(left, scope)} {operator} {self.condition(right, scope)})"
            case tree.Unary("NOT", operand):
                return f"(NOT {self.condition(operand, scope)})"
            case tree.Binary(operator, left, right):
                return self._compare(operator, self.value(left, scope), self.value(right, scope))
            case tree.IsNull(operand, negated):
                return f"({self.value(operand, scope).sql} IS {'NOT ' if negated else ''}NULL)"
            case tree.Like(operand, pattern, escape, negated):
                return self._like(operand, pattern, escape, scope, negated=negated)
            case tree.Between(operand, low, high, negated):
                value = self.value(operand, scope)
                above = self._compare(">=", value, self.value(low, scope))
                below = self._compare("<=", value, self.value(high, scope))
                return f"({'NOT ' if negated else ''}({above} AND {below}))"
            case tree.In(operand, items, query, negated):
                return self._in(self.value(operand, scope), items, query, scope, negated=negated)
            case tree.Exists(query):
                return f"EXISTS ({self.query(query, scope)[0]})"
        raise unsupported(type(node).__name__)

    def _compare(self, operator: str, left: Bound, right: Bound) -> str:
        kind = common(left.type, right.type)
        if operator not in ("=", "<>", "<", ">", "<=", ">="):
            raise unsupported(operator)
        a, b = convert(left, _open(kind)).sql, convert(right, _open(kind)).sql
        return f"({a}{collation_of(kind, a, b)} {operator} {b})"

    def _like(self, operand: Node, pattern: Node, escape: Node | None, scope: Scope, *, negated: bool) -> str:
        text = nvarchar(None)
        value = convert(self.value(operand, scope), text).sql
        like = convert(self.value(pattern, scope), text).sql
        escaped = self.value(escape, scope).sql if escape else "NULL"
        return f"({'NOT ' if negated else ''}ts_like({value}, {like}, {escaped}))"

    def _in(
        self, value: Bound, items: tuple[Node, ...], query: tree.Query | None, scope: Scope, *, negated: bool
    ) -> str:
        word = "NOT IN" if negated else "IN"
        if query is not None:
            sql, columns = self.query(query, scope)
            if len(columns) != 1:
                raise SqlError(102, ",")
            kind = common(value.type, columns[0][1])
            item = convert(Bound("c1", columns[0][1]), _open(kind)).sql
            left = convert(value, _open(kind)).sql
            return f"({left}{collation_of(kind, left, '')} {word} (SELECT {item} FROM ({sql})))"
        bounds = [self.value(item, scope) for item in items]
        tests = [self._compare("=", value, bound) for bound in bounds]
        return f"({'NOT ' if negated else ''}({' OR '.join(tests)}))"


def _open(kind: SqlType | None) -> SqlType | None:
    """The type for a comparison: texts and bytes of any length compare."""
    if kind is not None and kind.family in ("char", "binary"):
        return SqlType(kind.name)
    return kind
