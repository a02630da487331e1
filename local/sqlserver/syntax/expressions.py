"""Expressions and conditions.

T-SQL keeps the two apart: a comparison is not a value, a value is not a condition.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING

from local.sqlserver.datatypes import BIGINT, FLOAT, INT, SqlType, nvarchar, varbinary, varchar
from local.sqlserver.engine.errors import SqlError
from local.sqlserver.syntax import tree
from local.sqlserver.syntax.reader import TokenReader
from local.sqlserver.syntax.tree import Node

if TYPE_CHECKING:
    from local.sqlserver.syntax.tree import Query

_COMPARISONS = {
    "=": "=",
    "<>": "<>",
    "!=": "<>",
    "<": "<",
    ">": ">",
    "<=": "<=",
    ">=": ">=",
    "!<": ">=",
    "!>": "<=",
}
# Reserved words that are also functions.
_FUNCTION_WORDS = frozenset({"COALESCE", "NULLIF", "LEFT", "RIGHT"})
_BARE_FUNCTIONS = frozenset({"CURRENT_TIMESTAMP", "CURRENT_USER", "SYSTEM_USER", "SESSION_USER", "USER"})


class ExpressionParser(TokenReader):
    """Parses values and conditions."""

    def query(self) -> Query:
        """A whole query; provided by the next parser."""
        raise NotImplementedError

    # --- conditions

    def condition(self) -> Node:
        """Conditions joined by OR."""
        left = self._conjunction()
        while self.accept("OR"):
            left = tree.Binary("OR", left, self._conjunction())
        return left

    def _conjunction(self) -> Node:
        left = self._negation()
        while self.accept("AND"):
            left = tree.Binary("AND", left, self._negation())
        return left

    def _negation(self) -> Node:
        if self.accept("NOT"):
            return tree.Unary("NOT", self._negation())
        return self._predicate()

    def _predicate(self) -> Node:
        if self.accept("EXISTS"):
            self.expect_operator("(")
            query = self.query()
            self.expect_operator(")")
            return tree.Exists(query)
        if self.is_operator("(") and self.ahead().word != "SELECT":
            start = self.at
            self.advance()
            try:
                inner = self.condition()
                self.expect_operator(")")
            except SqlError:
                self.at = start  # not a condition: a value in parentheses, as in (a + b) > c
            else:
                return inner
        left = self.expression()
        if self.token.kind == "operator" and self.token.text in _COMPARISONS:
            return tree.Binary(_COMPARISONS[self.advance().text], left, self.expression())
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return tree.IsNull(left, negated)
        return self._word_predicate(left, self.accept("NOT"))

    def _word_predicate(self, left: Node, negated: bool) -> Node:
        if self.accept("LIKE"):
            pattern = self.expression()
            return tree.Like(left, pattern, self.expression() if self.accept("ESCAPE") else None, negated)
        if self.accept("BETWEEN"):
            low = self.expression()
            self.expect("AND")
            return tree.Between(left, low, self.expression(), negated)
        self.expect("IN")
        self.expect_operator("(")
        if self.is_word("SELECT"):
            result = tree.In(left, (), self.query(), negated)
        else:
            result = tree.In(left, self.expressions(), None, negated)
        self.expect_operator(")")
        return result

    # --- values

    def expressions(self) -> tuple[Node, ...]:
        """``a, b, …``."""
        items = [self.expression()]
        while self.accept_operator(","):
            items.append(self.expression())
        return tuple(items)

    def expression(self) -> Node:
        """A value."""
        left = self._product()
        while self.is_operator("+", "-", "&", "|", "^"):
            left = tree.Binary(self.advance().text, left, self._product())
        return left

    def _product(self) -> Node:
        left = self._unary()
        while self.is_operator("*", "/", "%"):
            left = tree.Binary(self.advance().text, left, self._unary())
        return left

    def _unary(self) -> Node:
        if self.is_operator("-", "+", "~"):
            return tree.Unary(self.advance().text, self._unary())
        value = self._primary()
        while self.accept("COLLATE"):
            value = tree.Collate(value, self.name())
        return value

    def _primary(self) -> Node:
        token = self.token
        if token.kind in ("string", "nstring", "number", "binary"):
            self.advance()
            return literal(token.kind, token.text)
        if token.kind == "variable":
            return tree.Variable(self.advance().text.lower())
        if self.accept("NULL"):
            return tree.Literal(None, None)
        if self.accept("CASE"):
            return self._case()
        if self.accept_operator("("):
            if self.is_word("SELECT"):
                inner: Node = tree.Subquery(self.query())
            else:
                inner = self.expression()
            self.expect_operator(")")
            return inner
        if token.word in _BARE_FUNCTIONS:
            self.advance()
            return tree.Call(token.word, ())
        if self.ahead().text == "(" and (self.is_name() or token.word in _FUNCTION_WORDS | {"CONVERT"}):
            return self._call()
        return tree.Name(self.dotted_name())

    def _case(self) -> Node:
        operand = None if self.is_word("WHEN") else self.expression()
        branches = []
        while self.accept("WHEN"):
            test = self.condition() if operand is None else self.expression()
            self.expect("THEN")
            branches.append((test, self.expression()))
        if not branches:
            raise self.error()
        default = self.expression() if self.accept("ELSE") else None
        self.expect("END")
        return tree.Case(operand, tuple(branches), default)

    def _call(self) -> Node:
        quoted = self.token.kind == "quoted"
        name = self.advance().text.upper()
        self.expect_operator("(")
        if quoted:
            raise SqlError(195, name)
        if name in ("CAST", "TRY_CAST"):
            operand = self.expression()
            self.expect("AS")
            kind = self._cast_type()
            self.expect_operator(")")
            return tree.Cast(operand, kind, None, name.startswith("TRY"))
        if name in ("CONVERT", "TRY_CONVERT"):
            kind = self._cast_type()
            self.expect_operator(",")
            operand = self.expression()
            style = self.expression() if self.accept_operator(",") else None
            self.expect_operator(")")
            return tree.Cast(operand, kind, style, name.startswith("TRY"))
        if name == "IIF":
            test = self.condition()
            self.expect_operator(",")
            positive = self.expression()
            self.expect_operator(",")
            negative = self.expression()
            self.expect_operator(")")
            return tree.Case(None, ((test, positive),), negative)
        return self._arguments(name)

    def _cast_type(self) -> SqlType:
        kind = self.data_type()
        if kind.family in ("char", "binary") and self.tokens[self.at - 1].text != ")":
            return SqlType(kind.name, 30)  # CAST without a length means 30 characters
        return kind

    def _arguments(self, name: str) -> Node:
        star = self.accept_operator("*")
        distinct = not star and self.accept("DISTINCT")
        if name in ("DATEADD", "DATEDIFF", "DATEDIFF_BIG", "DATEPART"):
            part: tuple[Node, ...] = (tree.Literal(self.name().lower(), varchar(20)),)
            self.expect_operator(",")
            arguments = part + self.expressions()
        else:
            arguments = () if star or self.is_operator(")") else self.expressions()
        self.expect_operator(")")
        return tree.Call(name, arguments, star, distinct, self._over())

    def _over(self) -> tuple[tuple[Node, ...], tuple[tree.Ordering, ...]] | None:
        if not self.accept("OVER"):
            return None
        self.expect_operator("(")
        partition: tuple[Node, ...] = ()
        if self.accept("PARTITION"):
            self.expect("BY")
            partition = self.expressions()
        ordering = self.orderings() if self.accept("ORDER", "BY") else ()
        self.expect_operator(")")
        return partition, ordering

    def orderings(self) -> tuple[tree.Ordering, ...]:
        """The items of ORDER BY."""
        items = []
        while True:
            operand = self.expression()
            descending = self.accept("DESC")
            if not descending:
                self.accept("ASC")
            items.append(tree.Ordering(operand, descending))
            if not self.accept_operator(","):
                return tuple(items)


def literal(kind: str, text: str) -> tree.Literal:
    """The constant that a token stands for."""
    if kind == "nstring":
        return tree.Literal(text, nvarchar(len(text) or 1) if len(text) <= 4000 else nvarchar(None))
    if kind == "string":
        return tree.Literal(text, varchar(len(text) or 1) if len(text) <= 8000 else varchar(None))
    if kind == "binary":
        digits = text[2:]
        data = bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
        return tree.Literal(data, varbinary(len(data) or 1) if len(data) <= 8000 else varbinary(None))
    if "e" in text.lower():
        return tree.Literal(float(text), FLOAT)
    if text.isdigit() and int(text) < 2**31:
        return tree.Literal(int(text), INT)
    value = decimal.Decimal(text)
    scale = max(0, -int(value.as_tuple().exponent))
    if scale == 0 and value < 2**63:
        return tree.Literal(int(value), BIGINT)
    return tree.Literal(value, SqlType("decimal", None, max(len(value.as_tuple().digits), scale), scale))
