"""Function calls of Trino's grammar, with FILTER, OVER and the special forms."""

from __future__ import annotations

from typing import Any

from local_aws.engine import tree
from local_aws.engine.cursor import Cursor
from local_aws.engine.tree import Expr


class CallParser(Cursor):
    """Part of the expression parser."""

    def expression(self) -> Expr:
        """From the expression parser."""
        raise NotImplementedError

    def value(self) -> Expr:
        """An expression without comparison; from the expression parser."""
        raise NotImplementedError

    def name_or_call(self) -> Expr:
        """A column, a function, or a lambda with a quoted parameter."""
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


def _extract(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    unit = p.identifier()
    p.expect("FROM")
    operand = p.expression()
    p.expect(")")
    return tree.Call(at, "$extract", [tree.Literal(at, "string", unit), operand])


def _position(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    needle = p.value()
    p.expect("IN")
    haystack = p.value()
    p.expect(")")
    return tree.Call(at, "strpos", [haystack, needle])


def _trim(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    name, chars = "trim", None
    for word, function in (("LEADING", "ltrim"), ("TRAILING", "rtrim"), ("BOTH", "trim")):
        if p.peek_words(word):
            p.advance()
            name = function
    operand = None
    if p.peek_words("FROM") and name == "trim" and p.token_ahead(-1).text == "(":
        p.unexpected("<expression>")
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


def _substring(p: CallParser) -> Expr:
    at = p.advance().at
    p.expect("(")
    args = [p.value()]
    if p.accept("FROM") is not None:
        args.append(p.value())
        if p.accept("FOR") is not None:
            args.append(p.value())
    else:
        while p.peek_op(","):
            p.advance()
            args.append(p.expression())
    p.expect(")")
    return tree.Call(at, "substr", args)


SPECIAL: dict[str, Any] = {
    "EXTRACT": _extract,
    "POSITION": _position,
    "TRIM": _trim,
    "SUBSTRING": _substring,
}
