"""Queries of Trino's grammar."""

from __future__ import annotations

import re
from itertools import product

from local_aws.engine import tree
from local_aws.engine.errors import refuse
from local_aws.engine.parse_expression import ExpressionParser


class QueryParser(ExpressionParser):
    """WITH, SELECT, set operations, FROM."""

    def query(self) -> tree.Query:
        """A whole query, WITH to LIMIT."""
        at = self.token.at
        ctes: list[tree.CommonTable] = []
        recursive = False
        if self.accept("WITH") is not None:
            recursive = self.accept("RECURSIVE") is not None
            ctes = self.comma_list(self._common_table)
        body = self._union()
        order_by: list[tree.SortItem] = []
        if self.accept("ORDER") is not None:
            self.expect("BY")
            order_by = self.comma_list(self.sort_item)
        offset = limit = None
        ties = False
        if self.accept("OFFSET") is not None:
            offset = self._count()
            for word in ("ROW", "ROWS"):
                self.accept(word)
        if self.accept("LIMIT") is not None:
            limit = None if self.accept("ALL") is not None else self._count()
        elif self.accept("FETCH") is not None:
            if self.accept("FIRST") is None:
                self.expect("NEXT")
            limit = (
                tree.Literal(self.token.at, "integer", "1")
                if self.peek_word() in ("ROW", "ROWS")
                else self._count()
            )
            if self.accept("ROWS") is None:
                self.expect("ROW")
            ties = self.accept_words("WITH", "TIES")
            if not ties:
                self.expect("ONLY")
        end = self.tokens[self.index - 1].end
        return tree.Query(at, ctes, body, order_by, offset, limit, end, recursive, ties)

    def _count(self) -> tree.Expr:
        token = self.token
        if token.kind == "integer":
            self.advance()
            return tree.Literal(token.at, "integer", token.text)
        if self.accept_op("?"):
            self.parameters += 1
            return tree.Parameter(token.at, self.parameters - 1)
        self.unexpected("<integer>")

    def _common_table(self) -> tree.CommonTable:
        at = self.token.at
        name = self.identifier()
        columns = self._column_names()
        self.expect("AS")
        self.expect("(")
        query = self.query()
        self.expect(")")
        return tree.CommonTable(at, name, columns, query)

    def _column_names(self) -> list[str]:
        if not self.accept_op("("):
            return []
        names = self.comma_list(self.identifier)
        self.expect(")")
        return names

    def _union(self) -> tree.QueryBody:
        left = self._intersect()
        while self.peek_word() in ("UNION", "EXCEPT"):
            token = self.advance()
            every = self._all_or_distinct()
            left = tree.SetOperation(token.at, token.text, every, left, self._intersect())
        return left

    def _intersect(self) -> tree.QueryBody:
        left = self._body()
        while (at := self.accept("INTERSECT")) is not None:
            every = self._all_or_distinct()
            left = tree.SetOperation(at, "INTERSECT", every, left, self._body())
        return left

    def _all_or_distinct(self) -> bool:
        if self.accept("ALL") is not None:
            return True
        self.accept("DISTINCT")
        return False

    def _body(self) -> tree.QueryBody:
        at = self.token.at
        if self.accept_op("("):
            query = self.query()
            self.expect(")")
            return tree.Nested(at, query)
        if self.accept("VALUES") is not None:
            return tree.Values(at, self.comma_list(self.expression))
        if self.accept("TABLE") is not None:
            name = self.qualified_name()
            star = tree.SelectItem(at, tree.Star(at, None, []), None)
            table = tree.TableRef(at, name)
            return tree.Select(at, False, [star], table, None, [], False, None, {})
        if self.peek_words("SELECT"):
            return self._select()
        self.unexpected("'(', 'SELECT', 'TABLE', 'VALUES', 'WITH'")

    # ------------------------------------------------------------------ SELECT

    def _select(self) -> tree.Select:
        at = self.expect("SELECT")
        distinct = self._distinct()
        items = self.comma_list(self._select_item)
        relation = None
        if self.accept("FROM") is not None:
            relation = self._relation()
            while self.peek_op(","):
                comma = self.advance().at
                relation = tree.Join(comma, "cross", relation, self._relation(), None, [])
        where = self.expression() if self.accept("WHERE") is not None else None
        group_by: list[tree.GroupingElement] = []
        group_distinct = False
        if self.accept("GROUP") is not None:
            self.expect("BY")
            group_distinct = self._distinct()
            group_by = self.comma_list(self._grouping_element)
        having = self.expression() if self.accept("HAVING") is not None else None
        windows: dict[str, tree.Window] = {}
        if self.accept("WINDOW") is not None:
            for name, window in self.comma_list(self._named_window):
                windows[name] = window
        return tree.Select(
            at, distinct, items, relation, where, group_by, group_distinct, having, windows
        )

    def _distinct(self) -> bool:
        if self.accept("DISTINCT") is not None:
            return True
        self.accept("ALL")
        return False

    def _named_window(self) -> tuple[str, tree.Window]:
        name = self.identifier()
        self.expect("AS")
        self.expect("(")
        window = self.window_body()
        self.expect(")")
        return name, window

    def _select_item(self) -> tree.SelectItem:
        at = self.token.at
        if self.accept_op("*"):
            return tree.SelectItem(at, tree.Star(at, None, []), None)
        expr = self.expression()
        if self.peek_op(".") and self.peek_op("*", 1):
            self.advance()
            self.advance()
            aliases: list[str] = []
            if self.accept("AS") is not None:
                self.expect("(")
                aliases = self.comma_list(self.identifier)
                self.expect(")")
            return tree.SelectItem(at, tree.Star(at, expr, aliases), None)
        alias = None
        if self.accept("AS") is not None or self._is_alias():
            alias = self.identifier()
        return tree.SelectItem(at, expr, alias)

    def _is_alias(self) -> bool:
        token = self.token
        if token.kind == "quoted":
            return True
        return token.kind == "word" and token.text not in _NOT_AN_ALIAS

    def _grouping_element(self) -> tree.GroupingElement:
        at = self.token.at
        for word, kind in (("ROLLUP", "rollup"), ("CUBE", "cube")):
            if self.peek_words(word) and self.peek_op("(", 1):
                self.advance()
                self.expect("(")
                sets = [] if self.peek_op(")") else self.comma_list(self._grouping_set)
                self.expect(")")
                return tree.GroupingElement(at, "sets", _expand(kind, sets))
        if self.peek_words("GROUPING", "SETS"):
            self.advance()
            self.advance()
            self.expect("(")
            sets = self.comma_list(self._grouping_set)
            self.expect(")")
            return tree.GroupingElement(at, "sets", sets)
        return tree.GroupingElement(at, "simple", [self._grouping_set()])

    def _grouping_set(self) -> list[tree.Expr]:
        if self.peek_op("(") and self.peek_op(")", 1):
            self.advance()
            self.advance()
            return []
        expr = self.expression()
        return expr.items if isinstance(expr, tree.RowLiteral) else [expr]

    # ------------------------------------------------------------------ FROM

    def _relation(self) -> tree.Relation:
        left = self._sampled()
        while (joined := self._joined(left)) is not None:
            left = joined
        return left

    def _joined(self, left: tree.Relation) -> tree.Relation | None:
        """One join with ``left``, if one comes next."""
        at = self.token.at
        if self.accept_words("CROSS", "JOIN"):
            return tree.Join(at, "cross", left, self._sampled(), None, [])
        if self.peek_words("NATURAL"):
            refuse("Natural join not supported", at)
        kind = self._join_kind()
        if kind is None:
            return None
        right = self._sampled()
        while (nested := self._joined(right)) is not None:
            right = nested  # ``a join b join c on .. on ..`` nests to the right
        on, using = None, []
        if self.accept("ON") is not None:
            on = self.expression()
        elif self.accept("USING") is not None:
            self.expect("(")
            using = self.comma_list(self.identifier)
            self.expect(")")
        else:
            self.unexpected("'ON', 'USING'")
        return tree.Join(at, kind, left, right, on, using)

    def _join_kind(self) -> str | None:
        if self.accept("JOIN") is not None or self.accept_words("INNER", "JOIN"):
            return "inner"
        for word in ("LEFT", "RIGHT", "FULL"):
            if self.peek_words(word, "JOIN") or self.peek_words(word, "OUTER", "JOIN"):
                self.advance()
                self.accept("OUTER")
                self.expect("JOIN")
                return word.lower()
        return None

    def _sampled(self) -> tree.Relation:
        relation = self._aliased()
        if (at := self.accept("TABLESAMPLE")) is not None:
            if self.peek_word() not in ("BERNOULLI", "SYSTEM"):
                self.unexpected("'BERNOULLI', 'SYSTEM'")
            method = self.advance().text.lower()
            self.expect("(")
            relation = tree.Sampled(at, relation, method, self.expression())
            self.expect(")")
        if self.peek_words("MATCH_RECOGNIZE"):
            refuse("MATCH_RECOGNIZE is not supported here", self.token.at)
        return relation

    def _aliased(self) -> tree.Relation:
        at = self.token.at
        relation = self._primary_relation()
        if self.accept("AS") is not None or self._is_alias():
            name = self.identifier()
            return tree.Aliased(at, relation, name, self._column_names())
        return relation

    def _primary_relation(self) -> tree.Relation:
        at = self.token.at
        if self.accept("UNNEST") is not None:
            self.expect("(")
            exprs = self.comma_list(self.expression)
            self.expect(")")
            return tree.Unnest(at, exprs, self.accept_words("WITH", "ORDINALITY"))
        if self.accept("LATERAL") is not None:
            self.expect("(")
            query = self.query()
            self.expect(")")
            return tree.SubqueryRef(at, query, lateral=True)
        if self.peek_op("("):
            return self._nested_relation()
        if self.peek_words("TABLE") and self.peek_op("(", 1):
            refuse("Table functions are not supported here", at)
        table = tree.TableRef(at, self.qualified_name())
        if self.peek_words("FOR") and self.peek_word(1) in (
            "TIMESTAMP", "VERSION", "SYSTEM_TIME", "SYSTEM_VERSION",
        ):  # fmt: skip
            self.advance()
            word = self.advance().text
            self.expect("AS")
            self.expect("OF")
            table.version_kind = "version" if "VERSION" in word else "timestamp"
            table.version = self.value()
        return table

    def _nested_relation(self) -> tree.Relation:
        at = self.token.at
        if self.starts_query():
            mark = self.mark()
            self.expect("(")
            query = self.query()
            if self.peek_op(")"):
                self.advance()
                return tree.SubqueryRef(at, query)
            self.reset(mark)
        self.expect("(")
        relation = self._relation()
        self.expect(")")
        return relation


_NOT_AN_ALIAS = frozenset(
    re.findall(
        r"\w+",
        """
    ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_CATALOG
    CURRENT_DATE CURRENT_PATH CURRENT_ROLE CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP
    CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE
    EXISTS EXTRACT FALSE FOR FROM FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO
    IS JOIN LEFT LIKE LOCALTIME LOCALTIMESTAMP NATURAL NORMALIZE NOT NULL ON OR ORDER OUTER
    PREPARE RECURSIVE RIGHT ROLLUP SELECT SKIP TABLE THEN TRIM TRUE UESCAPE UNION UNNEST
    USING VALUES WHEN WHERE WITH LIMIT OFFSET FETCH WINDOW TABLESAMPLE QUALIFY
    MATCH_RECOGNIZE SET
        """,
    )
)
"""QUALIFY is an ordinary name to Trino, but nobody means a table called ``qualify``."""


def _expand(kind: str, sets: list[list[tree.Expr]]) -> list[list[tree.Expr]]:
    if kind == "rollup":
        return [
            [expr for part in sets[:count] for expr in part] for count in range(len(sets), -1, -1)
        ]
    return [
        [expr for part, used in zip(sets, choice, strict=True) if used for expr in part]
        for choice in product((True, False), repeat=len(sets))
    ]
