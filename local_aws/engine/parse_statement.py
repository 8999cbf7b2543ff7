"""Statements of Trino's grammar; what is Hive DDL goes to ``parse_hive``."""

from __future__ import annotations

from local_aws.engine import statements as st
from local_aws.engine import tree
from local_aws.engine.errors import refuse, syntax
from local_aws.engine.parse_hive import HiveParser, is_hive
from local_aws.engine.parse_query import QueryParser


def parse_statement(source: str) -> st.Statement:
    """Read one statement (a closing semicolon is allowed); raises QueryError."""
    words = QueryParser(source)
    if words.token.kind == "end":
        syntax("mismatched input '<EOF>'. Expecting: <statement>", words.token.at)
    if is_hive(words):
        return HiveParser(source).statement()
    return StatementParser(source).statement()


def parse_expression(source: str) -> tree.Expr:
    """Read one expression, e.g. an execution parameter."""
    parser = QueryParser(source)
    expr = parser.expression()
    if parser.token.kind != "end":
        parser.unexpected("<EOF>")
    return expr


class StatementParser(QueryParser):
    """SELECT, CTAS, views, INSERT, MERGE, UPDATE, DELETE, EXPLAIN, PREPARE, EXECUTE."""

    def statement(self) -> st.Statement:
        """The one statement of the source."""
        found = self._statement()
        self.accept_op(";")
        if self.token.kind != "end":
            if self.token.kind == "op" and self.token.text == ";":
                syntax("Only one sql statement is allowed", self.token.at)
            self.unexpected("<EOF>")
        found.parameters = self.parameters
        return found

    def _statement(self) -> st.Statement:
        word = self.peek_word()
        if self.starts_query():
            return st.Select("DML", "SELECT", self.query())
        reader = {
            "CREATE": self._create, "INSERT": self._insert, "DELETE": self._delete,
            "UPDATE": self._update, "MERGE": self._merge, "EXPLAIN": self._explain,
            "PREPARE": self._prepare, "EXECUTE": self._execute, "DEALLOCATE": self._deallocate,
            "OPTIMIZE": self._optimize, "VACUUM": self._vacuum, "UNLOAD": self._unload,
            "SHOW": self._show_view,
        }.get(word)  # fmt: skip
        if reader is None:
            self.unexpected(
                "'ALTER', 'CREATE', 'DELETE', 'DESC', 'DROP', 'EXECUTE', 'EXPLAIN', 'INSERT', "
                "'MERGE', 'PREPARE', 'SHOW', 'UNLOAD', 'UPDATE', <query>"
            )
        return reader()

    def _show_view(self) -> st.Statement:
        self.expect("SHOW")
        self.expect("CREATE")
        self.expect("VIEW")
        return st.Show("UTILITY", "SHOW_CREATE_VIEW", "create_view", self.qualified_name())

    def _create(self) -> st.Statement:
        self.expect("CREATE")
        replace = self.accept_words("OR", "REPLACE")
        if self.accept("VIEW") is not None:
            view = self.qualified_name()
            if self.accept("COMMENT") is not None:
                self.string()
            if self.peek_words("SECURITY"):
                refuse("CREATE VIEW ... SECURITY is not supported here", self.token.at)
            self.expect("AS")
            query = self.query()
            text = self.source[query.at : query.end]
            return st.CreateView("DDL", "CREATE_VIEW", view, replace, query, text)
        if replace:
            self.unexpected("'VIEW'")
        self.expect("TABLE")
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        at = self.token.at
        table = self.qualified_name()
        columns: list[str] = []
        if self.accept_op("("):
            columns = self.comma_list(self.identifier)
            self.expect(")")
        if self.accept("COMMENT") is not None:
            self.string()
        properties = self._properties() if self.accept("WITH") is not None else {}
        self.expect("AS")
        query = self.query()
        with_data = True
        if self.accept("WITH") is not None:
            with_data = self.accept("NO") is None
            self.expect("DATA")
        return st.CreateTableAs(
            "DDL", "CREATE_TABLE_AS_SELECT", table, at, if_not_exists, properties, columns, query,
            with_data,
        )  # fmt: skip

    def _properties(self) -> dict[str, tree.Expr]:
        self.expect("(")
        found = {}
        while True:
            name = self.identifier()
            self.expect("=")
            found[name] = self.expression()
            if not self.accept_op(","):
                break
        self.expect(")")
        return found

    def _table(self) -> tree.TableRef:
        return tree.TableRef(self.token.at, self.qualified_name())

    def _insert(self) -> st.Statement:
        self.expect("INSERT")
        self.expect("INTO")
        self.accept("TABLE")
        table = self._table()
        columns: list[str] = []
        if self.peek_op("(") and not self.starts_query():
            self.expect("(")
            columns = self.comma_list(self.identifier)
            self.expect(")")
        return st.Insert("DML", "INSERT", table, columns, self.query())

    def _delete(self) -> st.Statement:
        self.expect("DELETE")
        self.expect("FROM")
        table = self._table()
        where = self.expression() if self.accept("WHERE") is not None else None
        case = st.MergeCase(True, where, "delete", [], [])
        return st.Merge("DML", "DELETE", table, None, None, None, [case])

    def _update(self) -> st.Statement:
        self.expect("UPDATE")
        table = self._table()
        self.expect("SET")
        columns, values = self._assignments()
        where = self.expression() if self.accept("WHERE") is not None else None
        case = st.MergeCase(True, where, "update", columns, values)
        return st.Merge("DML", "UPDATE", table, None, None, None, [case])

    def _assignments(self, alias: str | None = None) -> tuple[list[str], list[tree.Expr]]:
        columns, values = [], []
        while True:
            columns.append(self.identifier())
            self.expect("=")
            values.append(self.expression())
            if not self.accept_op(","):
                return columns, values

    def _merge(self) -> st.Statement:
        self.expect("MERGE")
        self.expect("INTO")
        table = self._table()
        alias = None
        if self.accept("AS") is not None or not self.peek_words("USING"):
            alias = self.identifier()
        self.expect("USING")
        source = self._relation()
        self.expect("ON")
        on = self.expression()
        cases = []
        while self.accept("WHEN") is not None:
            cases.append(self._merge_case())
        if not cases:
            self.unexpected("'WHEN'")
        return st.Merge("DML", "MERGE_INTO", table, alias, source, on, cases)

    def _merge_case(self) -> st.MergeCase:
        matched = self.accept("NOT") is None
        self.expect("MATCHED")
        condition = self.expression() if self.accept("AND") is not None else None
        self.expect("THEN")
        if not matched:
            self.expect("INSERT")
            columns: list[str] = []
            if self.accept_op("("):
                columns = self.comma_list(self.identifier)
                self.expect(")")
            self.expect("VALUES")
            self.expect("(")
            values = self.comma_list(self.expression)
            self.expect(")")
            return st.MergeCase(False, condition, "insert", columns, values)
        if self.accept("DELETE") is not None:
            return st.MergeCase(True, condition, "delete", [], [])
        self.expect("UPDATE")
        self.expect("SET")
        columns, values = self._assignments()
        return st.MergeCase(True, condition, "update", columns, values)

    def _explain(self) -> st.Statement:
        self.expect("EXPLAIN")
        analyze = self.accept("ANALYZE") is not None
        at, options = self.token.at, {}
        if self.peek_op("(") and self.peek_word(1) in ("TYPE", "FORMAT"):
            self.expect("(")
            while True:
                word = self.advance().text
                if word not in _EXPLAIN or analyze:
                    self.index -= 1
                    self.unexpected("'FORMAT', 'TYPE'")
                if self.peek_word() not in _EXPLAIN[word]:
                    self.unexpected(", ".join(f"'{name}'" for name in _EXPLAIN[word]))
                options[word] = self.advance().text
                if not self.accept_op(","):
                    break
            self.expect(")")
        kind = "EXPLAIN_ANALYZE" if analyze else "EXPLAIN"
        return st.Explain("UTILITY", kind, self._statement(), analyze, options, at)

    def _prepare(self) -> st.Statement:
        self.expect("PREPARE")
        name = self.identifier()
        self.expect("FROM")
        start = self.token.at
        inner = self._statement()
        if isinstance(inner, st.Prepare | st.Execute | st.Deallocate):
            refuse(f"Invalid statement type for prepared statement: {inner.subkind}", start)
        return st.Prepare("UTILITY", "PREPARE", name, self.source[start : self.token.at].strip())

    def _execute(self) -> st.Statement:
        self.expect("EXECUTE")
        name = self.identifier()
        values = []
        if self.accept("USING") is not None:
            while True:
                start = self.token.at
                self.expression()
                values.append(self.source[start : self.tokens[self.index - 1].end])
                if not self.accept_op(","):
                    break
        return st.Execute("DML", "EXECUTE", name, values)

    def _deallocate(self) -> st.Statement:
        self.expect("DEALLOCATE")
        self.expect("PREPARE")
        return st.Deallocate("UTILITY", "DEALLOCATE_PREPARE", self.identifier())

    def _optimize(self) -> st.Statement:
        self.expect("OPTIMIZE")
        table = self.qualified_name()
        for word in ("REWRITE", "DATA", "USING", "BIN_PACK"):
            self.expect(word)
        where = self.expression() if self.accept("WHERE") is not None else None
        return st.Maintain("DML", "OPTIMIZE", table, where)

    def _vacuum(self) -> st.Statement:
        self.expect("VACUUM")
        return st.Maintain("DML", "VACUUM", self.qualified_name(), None)

    def _unload(self) -> st.Statement:
        self.expect("UNLOAD")
        self.expect("(")
        query = self.query()
        self.expect(")")
        self.expect("TO")
        at = self.token.at
        location = self.string()
        properties = self._properties() if self.accept("WITH") is not None else {}
        return st.Unload("DML", "UNLOAD", query, location, at, properties)


_EXPLAIN = {
    "TYPE": ("DISTRIBUTED", "IO", "LOGICAL", "VALIDATE"),
    "FORMAT": ("GRAPHVIZ", "JSON", "TEXT"),
}
"""Options of EXPLAIN and their values."""
