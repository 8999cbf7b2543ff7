"""Hive's DDL, as Athena takes it: names in backticks, types as Glue spells them."""

from __future__ import annotations

from typing import NoReturn

from local_aws.engine import statements as st
from local_aws.engine.cursor import Cursor
from local_aws.engine.errors import QueryError, refuse, syntax
from local_aws.engine.types import parse_type


def is_hive(cursor: Cursor) -> bool:
    """Whether Athena gives this statement to its DDL grammar."""
    first, second = cursor.peek_word(), cursor.peek_word(1)
    if first in ("ALTER", "DROP", "MSCK", "DESCRIBE", "DESC"):
        return True
    if first == "SHOW":
        return not cursor.peek_words("SHOW", "CREATE", "VIEW")
    if first != "CREATE":
        return False
    if second in ("EXTERNAL", "DATABASE", "SCHEMA"):
        return True
    return second == "TABLE" and not _has_as(cursor)


def _has_as(cursor: Cursor) -> bool:
    """CTAS is ``CREATE TABLE name [(columns)] [WITH (...)] AS``; Hive's has typed columns."""
    depth = 0
    for token in cursor.tokens:
        if token.kind == "op" and token.text in ("(", ")"):
            depth += 1 if token.text == "(" else -1
        elif depth == 0 and token.kind == "word" and token.text == "AS":
            before = cursor.tokens[cursor.tokens.index(token) - 1]
            if before.text != "STORED":
                return True
    return False


class HiveParser(Cursor):
    """CREATE, ALTER, DROP, SHOW, DESCRIBE, MSCK."""

    def __init__(self, source: str) -> None:
        super().__init__(source, hive=True)

    def statement(self) -> st.Statement:
        """The one statement of the source."""
        word = self.advance().text
        reader = {
            "CREATE": self._create, "ALTER": self._alter, "DROP": self._drop, "SHOW": self._show,
            "DESCRIBE": self._describe, "DESC": self._describe, "MSCK": self._repair,
        }[word]  # fmt: skip
        found = reader()
        self.accept_op(";")
        if self.token.kind != "end":
            self.unexpected("<EOF>")
        return found

    def unexpected(self, expecting: str) -> NoReturn:
        """Athena's DDL grammar words it a little differently."""
        shown = self.token.raw or "<EOF>"
        raise QueryError(
            "FAILED: ParseException",
            f"mismatched input '{shown}' expecting {expecting}",
            self.token.at,
        )

    # ------------------------------------------------------------------ CREATE

    def _create(self) -> st.Statement:
        if self.peek_word() in ("DATABASE", "SCHEMA"):
            self.advance()
            return self._create_database()
        external = self.accept("EXTERNAL") is not None
        self.expect("TABLE")
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        table = st.CreateTable(
            "DDL", "CREATE_TABLE", self.qualified_name(), external, if_not_exists, []
        )
        if self.accept_op("("):
            table.columns = self.comma_list(self._column)
            self.expect(")")
        while self.token.kind == "word":
            self._clause(table)
        return table

    def _create_database(self) -> st.Statement:
        if_not_exists = self.accept_words("IF", "NOT", "EXISTS")
        name = self.qualified_name()[-1]
        found = st.CreateDatabase("DDL", "CREATE_DATABASE", name, if_not_exists, None, None, {})
        while self.token.kind == "word":
            if self.accept("COMMENT") is not None:
                found.comment = self.string()
            elif self.accept("LOCATION") is not None:
                found.location = self.string()
            elif self.accept_words("WITH", "DBPROPERTIES"):
                found.properties = self._properties()
            else:
                self.unexpected("COMMENT, LOCATION, WITH DBPROPERTIES")
        return found

    def _column(self) -> st.Column:
        name = self.identifier()
        kind = self._type()
        comment = self.string() if self.accept("COMMENT") is not None else None
        return st.Column(name, kind, comment)

    def _type(self) -> str:
        at = self.token.at
        text = self.type_text()
        try:
            return parse_type(text, hive=True).glue
        except ValueError:
            raise QueryError(
                "FAILED: ParseException", f"cannot recognize input near '{text}' in column type", at
            ) from None

    def _clause(self, table: st.CreateTable) -> None:
        if self.accept("COMMENT") is not None:
            table.comment = self.string()
        elif self.accept_words("PARTITIONED", "BY"):
            self._partitioned_by(table)
        elif self.accept_words("CLUSTERED", "BY"):
            self.expect("(")
            table.bucketed_by = self.comma_list(self.identifier)
            self.expect(")")
            self.expect("INTO")
            table.bucket_count = self._number()
            self.expect("BUCKETS")
        elif self.accept_words("ROW", "FORMAT"):
            self._row_format(table)
        elif self.accept_words("STORED", "AS"):
            if self.accept("INPUTFORMAT") is not None:
                table.input_format = self.string()
                self.expect("OUTPUTFORMAT")
                table.output_format = self.string()
            else:
                table.stored_as = self.identifier()
        elif self.accept("LOCATION") is not None:
            table.location = self.string()
        elif self.accept("TBLPROPERTIES") is not None:
            table.properties = self._properties()
        elif self.accept_words("WITH", "SERDEPROPERTIES"):
            table.serde_properties = self._properties()
        else:
            self.unexpected("LOCATION, PARTITIONED BY, ROW FORMAT, STORED AS, TBLPROPERTIES")

    def _number(self) -> int:
        if self.token.kind != "integer":
            self.unexpected("<integer>")
        return int(self.advance().text)

    def _partitioned_by(self, table: st.CreateTable) -> None:
        self.expect("(")
        while True:
            name = self.identifier()
            if self.peek_op("("):
                start = self.tokens[self.index - 1].at
                self.expect("(")
                while not self.accept_op(")"):
                    self.advance()
                table.partition_transforms.append(
                    self.source[start : self.tokens[self.index - 1].end].replace("`", "")
                )
            elif self.token.kind == "op":
                table.partition_transforms.append(name)
            else:
                kind = self._type()
                comment = self.string() if self.accept("COMMENT") is not None else None
                table.partition_columns.append(st.Column(name, kind, comment))
            if not self.accept_op(","):
                break
        self.expect(")")

    def _row_format(self, table: st.CreateTable) -> None:
        if self.accept("SERDE") is not None:
            table.serde = self.string()
            return
        self.expect("DELIMITED")
        names = {
            ("FIELDS", "TERMINATED", "BY"): "field.delim",
            ("ESCAPED", "BY"): "escape.delim",
            ("LINES", "TERMINATED", "BY"): "line.delim",
            ("NULL", "DEFINED", "AS"): "serialization.null.format",
            ("COLLECTION", "ITEMS", "TERMINATED", "BY"): "collection.delim",
            ("MAP", "KEYS", "TERMINATED", "BY"): "mapkey.delim",
        }
        while True:
            for words, name in names.items():
                if self.accept_words(*words):
                    table.delimited[name] = _unescape(self.string())
                    break
            else:
                return

    def _properties(self) -> dict[str, str]:
        self.expect("(")
        found = {}
        while True:
            name = self.string()
            self.expect("=")
            found[name] = _unescape(self.string())
            if not self.accept_op(","):
                break
        self.expect(")")
        return found

    # ------------------------------------------------------------------ ALTER

    def _alter(self) -> st.Statement:
        if self.accept("DATABASE") is not None or self.accept("SCHEMA") is not None:
            name = self.qualified_name()
            for word in ("SET", "DBPROPERTIES"):
                self.expect(word)
            return st.AlterDatabase("DDL", "ALTER_DATABASE", name[-1], self._properties())
        if self.peek_word() == "VIEW":
            refuse(f"ALTER {self.token.text} is not supported here", self.token.at)
        self.expect("TABLE")
        table = self.qualified_name()
        if self.accept_words("ADD", "COLUMNS") or self.accept_words("REPLACE", "COLUMNS"):
            word = self.tokens[self.index - 2].text
            self.expect("(")
            columns = self.comma_list(self._column)
            self.expect(")")
            return st.AlterTable(
                "DDL", f"ALTER_TABLE_{word}_COLUMN", table, f"{word.lower()}_columns", columns
            )
        if self.accept_words("DROP", "COLUMN"):
            name = [self.identifier()]
            return st.AlterTable("DDL", "ALTER_TABLE_DROP_COLUMN", table, "drop_column", name=name)
        if self.accept("CHANGE") is not None:
            self.accept("COLUMN")
            name = [self.identifier()]
            columns = [self._column()]
            if self.peek_word() in ("FIRST", "AFTER"):
                refuse("CHANGE COLUMN ... FIRST/AFTER is not supported here", self.token.at)
            return st.AlterTable(
                "DDL", "ALTER_TABLE_CHANGE_COLUMN", table, "change_column", columns, name
            )
        if self.accept_words("RENAME", "TO"):
            name = self.qualified_name()
            return st.AlterTable("DDL", "ALTER_TABLE_RENAME", table, "rename", name=name)
        if self.accept_words("SET", "TBLPROPERTIES"):
            return st.AlterTable(
                "DDL", "ALTER_TABLE_PROPERTIES", table, "set_properties",
                properties=self._properties(),
            )  # fmt: skip
        if self.accept_words("UNSET", "TBLPROPERTIES"):
            flag = self.accept_words("IF", "EXISTS")
            self.expect("(")
            keys = self.comma_list(self.string)
            self.expect(")")
            return st.AlterTable(
                "DDL", "ALTER_TABLE_PROPERTIES", table, "unset_properties", keys=keys, flag=flag
            )
        if self.accept_words("SET", "LOCATION"):
            return st.AlterTable(
                "DDL", "ALTER_TABLE_LOCATION", table, "set_location", location=self.string()
            )
        return self._alter_partitions(table)

    def _alter_partitions(self, table: list[str]) -> st.Statement:
        if self.peek_words("PARTITION"):
            values = self._partition_spec()
            if self.accept_words("SET", "LOCATION"):
                return st.AlterTable(
                    "DDL", "ALTER_TABLE_LOCATION", table, "move_partition",
                    partitions=[(values, self.string())],
                )  # fmt: skip
            for word in ("RENAME", "TO"):
                self.expect(word)
            return st.AlterTable(
                "DDL", "ALTER_TABLE_RENAME_PARTITION", table, "rename_partition",
                partitions=[(values, None), (self._partition_spec(), None)],
            )  # fmt: skip
        if self.accept("ADD") is not None:
            flag = self.accept_words("IF", "NOT", "EXISTS")
            found = []
            while self.peek_words("PARTITION"):
                values = self._partition_spec()
                location = self.string() if self.accept("LOCATION") is not None else None
                found.append((values, location))
            if not found:
                self.unexpected("COLUMNS, PARTITION")
            return st.AlterTable(
                "DDL", "ALTER_TABLE_ADD_PARTITION", table, "add_partitions",
                partitions=found, flag=flag,
            )  # fmt: skip
        self.expect("DROP")
        flag = self.accept_words("IF", "EXISTS")
        specs: list[tuple[dict[str, str], str | None]] = [(self._partition_spec(), None)]
        while self.accept_op(","):
            specs.append((self._partition_spec(), None))
        return st.AlterTable(
            "DDL", "ALTER_TABLE_DROP_PARTITION", table, "drop_partitions",
            partitions=specs, flag=flag,
        )  # fmt: skip

    def _partition_spec(self) -> dict[str, str]:
        self.expect("PARTITION")
        self.expect("(")
        values = {}
        while True:
            name = self.identifier()
            self.expect("=")
            token = self.token
            if token.kind not in ("string", "quoted", "integer", "decimal"):
                self.unexpected("<constant>")
            values[name] = self.advance().text
            if not self.accept_op(","):
                break
        self.expect(")")
        return values

    # ------------------------------------------------------------------ DROP, SHOW, DESCRIBE

    def _drop(self) -> st.Statement:
        word = self.advance().text
        what = {"TABLE": "table", "VIEW": "view", "DATABASE": "database", "SCHEMA": "database"}
        if word not in what:
            syntax(f"mismatched input '{word}'. Expecting: 'SCHEMA', 'TABLE', 'VIEW'", 5)
        if_exists = self.accept_words("IF", "EXISTS")
        if self.token.kind == "quoted":
            # DROP VIEW goes to Trino's grammar, DROP TABLE to Hive's, which knows no such quotes.
            if word != "VIEW":
                self.unexpected("<identifier>")
            self.hive = False
        name = self.qualified_name()
        cascade = self.accept("CASCADE") is not None
        if not cascade:
            self.accept("RESTRICT")
        subkind = f"DROP_{what[word].upper()}"
        return st.Drop("DDL", subkind, what[word], name, if_exists, cascade)

    def _show(self) -> st.Statement:
        if self.accept("TABLES") is not None or self.accept("VIEWS") is not None:
            what = self.tokens[self.index - 1].text.lower()
            name = self.qualified_name() if self.accept("IN") is not None else []
            if not name and self.accept("FROM") is not None:
                name = self.qualified_name()
            self.accept("LIKE")
            pattern = self.string() if self.token.kind == "string" else None
            return st.Show("UTILITY", f"SHOW_{what.upper()}", what, name, pattern)
        if self.accept("DATABASES") is not None or self.accept("SCHEMAS") is not None:
            self.accept("LIKE")
            pattern = self.string() if self.token.kind == "string" else None
            return st.Show("UTILITY", "SHOW_DATABASES", "databases", [], pattern)
        if self.accept("PARTITIONS") is not None:
            return st.Show("UTILITY", "SHOW_PARTITIONS", "partitions", self.qualified_name())
        if self.accept("COLUMNS") is not None:
            if self.accept("IN") is None:
                self.expect("FROM")
            name = self.qualified_name()
            if self.accept("IN") is not None or self.accept("FROM") is not None:
                name = [self.identifier(), *name]
            return st.Show("UTILITY", "SHOW_COLUMNS", "columns", name)
        if self.accept_words("CREATE", "TABLE"):
            return st.Show("UTILITY", "SHOW_CREATE_TABLE", "create_table", self.qualified_name())
        if self.accept("TBLPROPERTIES") is not None:
            name = self.qualified_name()
            pattern = None
            if self.accept_op("("):
                pattern = self.string()
                self.expect(")")
            return st.Show("UTILITY", "SHOW_TABLE_PROPERTIES", "tblproperties", name, pattern)
        self.unexpected("TABLES, DATABASES, PARTITIONS, COLUMNS, CREATE TABLE, VIEWS")

    def _describe(self) -> st.Statement:
        for word in ("EXTENDED", "FORMATTED"):
            if self.peek_words(word):
                refuse(f"DESCRIBE {word} is not supported here", self.token.at)
        self.accept("TABLE")
        return st.Describe("UTILITY", "DESCRIBE_TABLE", self.qualified_name())

    def _repair(self) -> st.Statement:
        self.expect("REPAIR")
        self.expect("TABLE")
        return st.Repair("DDL", "MSCK_REPAIR_TABLE", self.qualified_name())


def _unescape(text: str) -> str:
    """Backslash escapes of Hive's string literals."""
    if "\\" not in text:
        return text
    simple = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"', "0": "\0"}
    out, at = [], 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            digits = text[at + 1 : at + 4]
            if len(digits) == 3 and digits.isdigit():
                out.append(chr(int(digits, 8)))
                at += 4
                continue
            out.append(simple.get(text[at + 1], "\\" + text[at + 1]))
            at += 2
            continue
        out.append(char)
        at += 1
    return "".join(out)
