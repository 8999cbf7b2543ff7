"""Expressions of Trino's grammar, by precedence climbing."""

from __future__ import annotations

from local_aws.engine import tree
from local_aws.engine.cursor import Cursor
from local_aws.engine.errors import syntax
from local_aws.engine.tree import Expr

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR", "MILLISECOND")
_CURRENT = ("CURRENT_DATE", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "CURRENT_USER",
            "CURRENT_TIME", "LOCALTIME", "CURRENT_CATALOG", "CURRENT_SCHEMA")  # fmt: skip
_LITERAL_TYPES = ("DATE", "TIMESTAMP", "TIME", "DECIMAL", "JSON", "VARCHAR", "CHAR", "BIGINT",
                  "INTEGER", "INT", "SMALLINT", "TINYINT", "DOUBLE", "REAL", "BOOLEAN",
                  "UUID", "IPADDRESS", "VARBINARY")  # fmt: skip


class ExpressionParser(Cursor):
    """Mixed into the query parser, because expressions hold queries and the other way round."""

    def query(self) -> tree.Query:
        """Overridden by the query parser."""
        raise NotImplementedError

    # ------------------------------------------------------------------ boolean

    def expression(self) -> Expr:
        """Any expression."""
        left = self._and()
        while (at := self.accept("OR")) is not None:
            left = tree.Binary(at, "OR", left, self._and())
        return left

    def _and(self) -> Expr:
        left = self._not()
        while (at := self.accept("AND")) is not None:
            left = tree.Binary(at, "AND", left, self._not())
        return left

    def _not(self) -> Expr:
        if (at := self.accept("NOT")) is not None:
            return tree.Unary(at, "NOT", self._not())
        return self._predicate()

    def _predicate(self) -> Expr:
        left = self._value()
        while True:
            at = self.token.at
            if self.token.kind == "op" and self.token.text in _COMPARISONS:
                op = _COMPARISONS[self.advance().text]
                left = self._comparison(at, op, left)
                continue
            negated = self.peek_words("NOT") and self.peek_word(1) in ("BETWEEN", "IN", "LIKE")
            if negated:
                self.advance()
            found = self._tail(at, left)
            if found is None:
                return left
            left = tree.Unary(at, "NOT", found) if negated else found

    def _comparison(self, at: int, op: str, left: Expr) -> Expr:
        for quantifier in ("ALL", "ANY", "SOME"):
            if self.peek_words(quantifier) and self.peek_op("(", 1):
                self.advance()
                self.expect("(")
                query = self.query()
                self.expect(")")
                name = "ANY" if quantifier == "SOME" else quantifier
                return tree.Quantified(at, op, name, left, query)
        return tree.Binary(at, op, left, self._value())

    def _tail(self, at: int, left: Expr) -> Expr | None:
        if self.accept("BETWEEN") is not None:
            low = self._value()
            self.expect("AND")
            return tree.Between(at, left, low, self._value())
        if self.accept("IN") is not None:
            return self._in(at, left)
        if self.accept("LIKE") is not None:
            pattern = self._value()
            escape = self._value() if self.accept("ESCAPE") is not None else None
            return tree.Like(at, left, pattern, escape)
        if self.accept("IS") is not None:
            negated = self.accept("NOT") is not None
            found: Expr
            if self.accept("NULL") is not None:
                found = tree.IsNull(at, left)
            elif self.accept("DISTINCT") is not None:
                self.expect("FROM")
                found = tree.IsDistinct(at, left, self._value())
            else:
                self.unexpected("'DISTINCT', 'NOT', 'NULL'")
            return tree.Unary(at, "NOT", found) if negated else found
        return None

    def _in(self, at: int, left: Expr) -> Expr:
        self.expect("(")
        if self.starts_query():
            query = self.query()
            self.expect(")")
            return tree.InQuery(at, left, query)
        items = self.comma_list(self.expression)
        self.expect(")")
        return tree.InList(at, left, items)

    # ------------------------------------------------------------------ values

    def _value(self) -> Expr:
        left = self._term()
        while self.token.kind == "op" and self.token.text in ("+", "-", "||"):
            token = self.advance()
            left = tree.Binary(token.at, token.text, left, self._term())
        return left

    def _term(self) -> Expr:
        left = self._factor()
        while self.token.kind == "op" and self.token.text in ("*", "/", "%"):
            token = self.advance()
            left = tree.Binary(token.at, token.text, left, self._factor())
        return left

    def _factor(self) -> Expr:
        if self.token.kind == "op" and self.token.text in ("-", "+"):
            token = self.advance()
            return tree.Unary(token.at, token.text, self._factor())
        operand = self._postfix()
        while (at := self.accept("AT")) is not None:
            self.expect("TIME")
            self.expect("ZONE")
            operand = tree.AtTimeZone(at, operand, self._postfix())
        return operand

    def _postfix(self) -> Expr:
        base = self._primary()
        while True:
            if self.peek_op("["):
                at = self.advance().at
                index = self._value()
                self.expect("]")
                base = tree.Subscript(at, base, index)
            elif self.peek_op(".") and not self.peek_op("*", 1):
                at = self.advance().at
                base = tree.Deref(base.at, base, self.identifier())
            else:
                return base

    def _primary(self) -> Expr:
        token = self.token
        if token.kind in ("integer", "decimal", "double", "string", "binary"):
            self.advance()
            return tree.Literal(token.at, token.kind, token.text)
        if token.kind == "op":
            if token.text == "(":
                return self._parenthesis()
            if token.text == "?":
                self.advance()
                self.parameters += 1
                return tree.Parameter(token.at, self.parameters - 1)
            self.unexpected("<expression>")
        if token.kind == "quoted":
            return self._name_or_call()
        if token.kind == "backtick":
            syntax("backquoted identifiers are not supported; use double quotes to quote "
                   "identifiers", token.at)
        if token.kind == "word":
            return self._word(token.text)
        self.unexpected("<expression>")

    def _word(self, word: str) -> Expr:
        at = self.token.at
        if word in ("NULL", "TRUE", "FALSE"):
            self.advance()
            kind = "null" if word == "NULL" else "boolean"
            return tree.Literal(at, kind, word.lower())
        if word in _CURRENT:
            self.advance()
            digits: list[Expr] = []
            if self.peek_op("(") and self.token_ahead(1).kind == "integer":
                self.expect("(")
                digits.append(tree.Literal(self.token.at, "integer", self.advance().text))
                self.expect(")")
            return tree.Call(at, word.lower(), digits)
        if word == "CASE":
            return self._case()
        if word in ("CAST", "TRY_CAST") and self.peek_op("(", 1):
            return self._cast(word)
        if word == "EXISTS" and self.peek_op("(", 1):
            self.advance()
            self.expect("(")
            query = self.query()
            self.expect(")")
            return tree.Exists(at, query)
        if word == "INTERVAL" and self.token_ahead(1).kind in ("string", "op"):
            return self._interval()
        if word == "ARRAY" and self.peek_op("[", 1):
            self.advance()
            self.expect("[")
            items = [] if self.peek_op("]") else self.comma_list(self.expression)
            self.expect("]")
            return tree.ArrayLiteral(at, items)
        if word == "ROW" and self.peek_op("(", 1):
            self.advance()
            self.expect("(")
            items = self.comma_list(self.expression)
            self.expect(")")
            return tree.RowLiteral(at, items)
        special = _SPECIAL.get(word)
        if special is not None and self.peek_op("(", 1):
            return special(self)
        if word in _LITERAL_TYPES and self.token_ahead(1).kind == "string":
            self.advance()
            return tree.TypedLiteral(at, word.lower(), self.advance().text)
        if word == "DOUBLE" and self.peek_word(1) == "PRECISION":
            self.advance()
            self.advance()
            return tree.TypedLiteral(at, "double", self.string())
        if self.peek_op("->", 1):
            name = self.identifier()
            self.expect("->")
            return tree.Lambda(at, [name], self.expression())
        return self._name_or_call()

    def _parenthesis(self) -> Expr:
        at = self.token.at
        if (params := self._lambda_params()) is not None:
            return tree.Lambda(at, params, self.expression())
        self.expect("(")
        if self.starts_query():
            mark = self.mark()
            query = self.query()
            if self.peek_op(")"):
                self.expect(")")
                return tree.ScalarQuery(at, query)
            self.reset(mark)
        items = self.comma_list(self.expression)
        self.expect(")")
        return items[0] if len(items) == 1 else tree.RowLiteral(at, items)

    def _lambda_params(self) -> list[str] | None:
        """Names of ``(a, b) ->``, or None with nothing consumed."""
        ahead, names = 1, []
        if self.peek_op(")", 1):
            ahead = 2
        else:
            while True:
                token = self.token_ahead(ahead)
                if token.kind not in ("word", "quoted"):
                    return None
                names.append(token.text.lower())
                ahead += 1
                if self.peek_op(")", ahead):
                    ahead += 1
                    break
                if not self.peek_op(",", ahead):
                    return None
                ahead += 1
        if not self.peek_op("->", ahead):
            return None
        for _ in range(ahead + 1):
            self.advance()
        return names

    def _case(self) -> Expr:
        at = self.advance().at
        operand = None if self.peek_words("WHEN") else self.expression()
        whens = []
        while self.accept("WHEN") is not None:
            condition = self.expression()
            self.expect("THEN")
            whens.append((condition, self.expression()))
        if not whens:
            self.unexpected("'WHEN'")
        otherwise = self.expression() if self.accept("ELSE") is not None else None
        self.expect("END")
        return tree.Case(at, operand, whens, otherwise)

    def _cast(self, word: str) -> Expr:
        at = self.advance().at
        self.expect("(")
        operand = self.expression()
        self.expect("AS")
        type_at = self.token.at
        text = self.type_text()
        self.expect(")")
        return tree.Cast(at, operand, text, type_at, word == "TRY_CAST")

    def _interval(self) -> Expr:
        at = self.advance().at
        sign = 1
        if self.token.kind == "op" and self.token.text in ("+", "-"):
            sign = -1 if self.advance().text == "-" else 1
        value = self.string()
        unit = self._unit()
        to = self._unit() if self.accept("TO") is not None else None
        return tree.IntervalLiteral(at, value, unit, sign, to)

    def _unit(self) -> str:
        if self.token.kind == "word" and self.token.text in _UNITS[:7]:
            return self.advance().text.lower()
        self.unexpected("'DAY', 'HOUR', 'MINUTE', 'MONTH', 'SECOND', 'YEAR'")

    # ------------------------------------------------------------------ calls

    def _name_or_call(self) -> Expr:
        at = self.token.at
        quoted = self.token.kind == "quoted"
        if self.token_ahead(1).kind == "op" and self.token_ahead(1).text == "(":
            name = self.advance().text.lower()
            return self._call(at, name)
        name = self.identifier()
        if quoted and self.peek_op("->"):
            self.expect("->")
            return tree.Lambda(at, [name], self.expression())
        return tree.Ident(at, name)

    def _call(self, at: int, name: str) -> Expr:
        self.expect("(")
        call = tree.Call(at, name, [])
        if self.peek_op("*"):
            self.advance()
            call.star = True
        elif not self.peek_op(")"):
            if self.accept("DISTINCT") is not None:
                call.distinct = True
            else:
                self.accept("ALL")
            call.args = self.comma_list(self.expression)
            if self.accept("ORDER") is not None:
                self.expect("BY")
                call.order_by = self.comma_list(self.sort_item)
            if name == "listagg" and self.accept("ON") is not None:
                self.unexpected("')'")
        self.expect(")")
        return self._call_tail(call)

    def _call_tail(self, call: tree.Call) -> Expr:
        if self.peek_words("WITHIN", "GROUP"):
            self.advance()
            self.advance()
            self.expect("(")
            self.expect("ORDER")
            self.expect("BY")
            call.within_group = self.comma_list(self.sort_item)
            self.expect(")")
        if self.peek_words("FILTER") and self.peek_op("(", 1):
            self.advance()
            self.expect("(")
            self.expect("WHERE")
            call.filter = self.expression()
            self.expect(")")
        for word in ("IGNORE", "RESPECT"):
            if self.peek_words(word, "NULLS"):
                self.advance()
                self.advance()
                call.ignore_nulls = word == "IGNORE"
                if not self.peek_words("OVER"):
                    self.unexpected("'OVER'")
        if self.accept("OVER") is not None:
            call.window = self._over()
        return call

    def _over(self) -> tree.Window:
        at = self.token.at
        if not self.peek_op("("):
            return tree.Window(at, self.identifier(), [], [])
        self.expect("(")
        window = self.window_body()
        self.expect(")")
        return window

    def window_body(self) -> tree.Window:
        """What stands between the parentheses of OVER or WINDOW."""
        at = self.token.at
        base = None
        if self.token.kind in ("word", "quoted") and self.token.text not in (
            "PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS",
        ):  # fmt: skip
            base = self.identifier()
        window = tree.Window(at, base, [], [])
        if self.accept("PARTITION") is not None:
            self.expect("BY")
            window.partition_by = self.comma_list(self.expression)
        if self.accept("ORDER") is not None:
            self.expect("BY")
            window.order_by = self.comma_list(self.sort_item)
        for unit in ("ROWS", "RANGE", "GROUPS"):
            if self.accept(unit) is not None:
                window.frame_unit = unit
                if self.accept("BETWEEN") is not None:
                    window.frame_start = self._bound()
                    self.expect("AND")
                    window.frame_end = self._bound()
                else:
                    window.frame_start = self._bound()
        return window

    def _bound(self) -> tuple[str, Expr | None]:
        if self.accept("UNBOUNDED") is not None:
            word = self._one_of("PRECEDING", "FOLLOWING")
            return f"UNBOUNDED {word}", None
        if self.accept("CURRENT") is not None:
            self.expect("ROW")
            return "CURRENT ROW", None
        value = self.expression()
        return self._one_of("PRECEDING", "FOLLOWING"), value

    def _one_of(self, *words: str) -> str:
        if self.token.kind == "word" and self.token.text in words:
            return self.advance().text
        self.unexpected(", ".join(f"'{word}'" for word in words))

    def sort_item(self) -> tree.SortItem:
        """``x DESC NULLS FIRST``."""
        at = self.token.at
        expr = self.expression()
        descending = self.accept("DESC") is not None
        if not descending:
            self.accept("ASC")
        nulls_first = False
        if self.accept("NULLS") is not None:
            nulls_first = self._one_of("FIRST", "LAST") == "FIRST"
        return tree.SortItem(at, expr, descending, nulls_first)


def _extract(p: ExpressionParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    unit = p.identifier()
    p.expect("FROM")
    operand = p.expression()
    p.expect(")")
    return tree.Call(at, "$extract", [tree.Literal(at, "string", unit), operand])


def _position(p: ExpressionParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    needle = p._value()
    p.expect("IN")
    haystack = p._value()
    p.expect(")")
    return tree.Call(at, "strpos", [haystack, needle])


def _trim(p: ExpressionParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    name, chars = "trim", None
    for word, function in (("LEADING", "ltrim"), ("TRAILING", "rtrim"), ("BOTH", "trim")):
        if p.peek_words(word):
            p.advance()
            name = function
    operand = None
    if p.accept("FROM") is None:
        operand = p.expression()
        if p.accept("FROM") is not None:
            chars, operand = operand, None
        elif p.peek_op(","):
            p.advance()
            chars = p.expression()
    if operand is None:
        operand = p.expression()
    p.expect(")")
    return tree.Call(at, name, [operand] if chars is None else [operand, chars])


def _substring(p: ExpressionParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    args = [p._value()]
    if p.accept("FROM") is not None:
        args.append(p._value())
        if p.accept("FOR") is not None:
            args.append(p._value())
    else:
        while p.peek_op(","):
            p.advance()
            args.append(p.expression())
    p.expect(")")
    return tree.Call(at, "substr", args)


_SPECIAL = {
    "EXTRACT": _extract,
    "POSITION": _position,
    "TRIM": _trim,
    "SUBSTRING": _substring,
}
