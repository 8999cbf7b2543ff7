"""Expressions of Trino's grammar, by precedence climbing."""

from __future__ import annotations

from local_aws.engine import tree
from local_aws.engine.errors import syntax
from local_aws.engine.parse_call import SPECIAL, CallParser
from local_aws.engine.parse_json import JSON
from local_aws.engine.tree import Expr

_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR", "MILLISECOND")
_CURRENT = ("CURRENT_DATE", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "CURRENT_USER",
            "CURRENT_TIME", "LOCALTIME", "CURRENT_CATALOG", "CURRENT_SCHEMA")  # fmt: skip
_LITERAL_TYPES = ("DATE", "TIMESTAMP", "TIME", "DECIMAL", "JSON", "VARCHAR", "CHAR", "BIGINT",
                  "INTEGER", "INT", "SMALLINT", "TINYINT", "DOUBLE", "REAL", "BOOLEAN",
                  "UUID", "IPADDRESS", "VARBINARY")  # fmt: skip


class ExpressionParser(CallParser):
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
        left = self.value()
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
        return tree.Binary(at, op, left, self.value())

    def _tail(self, at: int, left: Expr) -> Expr | None:
        if self.accept("BETWEEN") is not None:
            low = self.value()
            self.expect("AND")
            return tree.Between(at, left, low, self.value())
        if self.accept("IN") is not None:
            return self._in(at, left)
        if self.accept("LIKE") is not None:
            pattern = self.value()
            escape = self.value() if self.accept("ESCAPE") is not None else None
            return tree.Like(at, left, pattern, escape)
        if self.accept("IS") is not None:
            negated = self.accept("NOT") is not None
            found: Expr
            if self.accept("NULL") is not None:
                found = tree.IsNull(at, left)
            elif self.accept("DISTINCT") is not None:
                self.expect("FROM")
                found = tree.IsDistinct(at, left, self.value())
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

    def value(self) -> Expr:
        """An expression without comparison."""
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
                index = self.value()
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
            return self.name_or_call()
        if token.kind == "backtick":
            syntax(
                "backquoted identifiers are not supported; use double quotes to quote identifiers",
                token.at,
            )
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
        special = SPECIAL.get(word) or JSON.get(word)
        if special is not None and self.peek_op("(", 1):
            parsed: Expr = special(self)
            return parsed
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
        return self.name_or_call()

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
