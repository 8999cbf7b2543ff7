"""Walking over tokens: what both grammars, Trino's and Hive's, need."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from local_aws.engine.errors import syntax
from local_aws.engine.lexer import Token, tokenize

T = TypeVar("T")

RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
    ALTER AND AS BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_CATALOG
    CURRENT_DATE CURRENT_PATH CURRENT_ROLE CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP
    CURRENT_USER DEALLOCATE DELETE DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXECUTE
    EXISTS EXTRACT FALSE FOR FROM FULL GROUP GROUPING HAVING IN INNER INSERT INTERSECT INTO
    IS JOIN JSON_ARRAY JSON_EXISTS JSON_OBJECT JSON_QUERY JSON_TABLE JSON_VALUE LEFT LIKE
    LISTAGG LOCALTIME LOCALTIMESTAMP NATURAL NORMALIZE NOT NULL ON OR ORDER OUTER PREPARE
    RECURSIVE RIGHT ROLLUP SELECT SKIP TABLE THEN TRIM TRUE UESCAPE UNION UNNEST USING
    VALUES WHEN WHERE WITH
        """,
    )
)


class Name(str):
    """A name in lower case that remembers how it was written: results show it so."""

    __slots__ = ("shown",)
    shown: str

    def __new__(cls, written: str) -> Name:
        """From the text as it stands in the statement."""
        name = super().__new__(cls, written.lower())
        name.shown = written
        return name


class Cursor:
    """A position in the tokens of one source."""

    def __init__(self, source: str, *, hive: bool = False) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.hive = hive
        self.parameters = 0

    @property
    def token(self) -> Token:
        """The present token."""
        return self.tokens[self.index]

    def token_ahead(self, ahead: int) -> Token:
        """A token further on; the last one stays."""
        return self.tokens[min(self.index + ahead, len(self.tokens) - 1)]

    def advance(self) -> Token:
        """Take the present token."""
        token = self.tokens[self.index]
        if self.index < len(self.tokens) - 1:
            self.index += 1
        return token

    def mark(self) -> tuple[int, int]:
        """Where we are, for ``reset``."""
        return self.index, self.parameters

    def reset(self, mark: tuple[int, int]) -> None:
        """Back to a mark."""
        self.index, self.parameters = mark

    def peek_words(self, *words: str) -> bool:
        """Whether these words come next."""
        return all(self.peek_word(i) == word for i, word in enumerate(words))

    def peek_word(self, ahead: int = 0) -> str:
        """The word there, upper case; empty if it is no word."""
        token = self.token_ahead(ahead)
        return token.text if token.kind == "word" else ""

    def peek_op(self, text: str, ahead: int = 0) -> bool:
        """Whether this operator stands there."""
        token = self.token_ahead(ahead)
        return token.kind == "op" and token.text == text

    def accept(self, word: str) -> int | None:
        """Take the word if it comes next; its offset."""
        if self.peek_word() == word:
            return self.advance().at
        return None

    def accept_words(self, *words: str) -> bool:
        """Take all these words, or none."""
        if self.peek_words(*words):
            self.index += len(words)
            return True
        return False

    def accept_op(self, text: str) -> bool:
        """Take the operator if it comes next."""
        if self.peek_op(text):
            self.advance()
            return True
        return False

    def expect(self, text: str) -> int:
        """Take a word (upper case) or an operator; SYNTAX_ERROR if it is not there."""
        if self.token.kind in ("word", "op") and self.token.text == text:
            return self.advance().at
        self.unexpected(f"'{text}'")

    def unexpected(self, expecting: str) -> NoReturn:
        """Fail at the present token."""
        token = self.token
        shown = token.raw or "<EOF>"
        syntax(f"mismatched input '{shown}'. Expecting: {expecting}", token.at)

    def identifier(self) -> str:
        """A name, in lower case (Athena's names are case-insensitive)."""
        token = self.token
        if token.kind == "word" and (token.text not in RESERVED or self.hive):
            return Name(self.advance().raw)
        if token.kind == "quoted" and not self.hive:
            return Name(self.advance().text)
        if token.kind == "backtick":
            if self.hive:
                return self.advance().text.lower()
            syntax(
                "backquoted identifiers are not supported; use double quotes to quote identifiers",
                token.at,
            )
        if self.hive and token.kind == "integer":
            return self.advance().text
        self.unexpected("<identifier>")

    def qualified_name(self) -> list[str]:
        """``a.b.c``."""
        parts = [self.identifier()]
        while self.peek_op("."):
            self.advance()
            parts.append(self.identifier())
        return parts

    def string(self) -> str:
        """A string literal's value."""
        if self.token.kind == "string" or (self.hive and self.token.kind == "quoted"):
            return self.advance().text
        self.unexpected("<string>")

    def comma_list(self, item: Callable[[], T]) -> list[T]:
        """One or more, between commas."""
        items = [item()]
        while self.accept_op(","):
            items.append(item())
        return items

    def starts_query(self) -> bool:
        """Whether a query begins here (perhaps after parentheses)."""
        ahead = 0
        while self.peek_op("(", ahead):
            ahead += 1
        return self.peek_word(ahead) in ("SELECT", "WITH", "VALUES", "TABLE")

    def type_text(self) -> str:
        """The source text of a type, found by counting brackets."""
        start, depth = self.token.at, 0
        end = start
        while True:
            token = self.token
            if token.kind == "end":
                break
            if token.kind == "op":
                if token.text in ("(", "<"):
                    depth += 1
                elif token.text in (")", ">"):
                    if depth == 0:
                        break
                    depth -= 1
                elif depth == 0 or token.text not in (",", ":"):
                    break
            elif token.kind not in ("word", "quoted", "integer", "backtick") or (
                depth == 0 and end > start and not _continues_type(self, token.text)
            ):
                break
            end = token.end
            self.advance()
        if end == start:
            self.unexpected("<type>")
        return self.source[start:end]


def _continues_type(cursor: Cursor, word: str) -> bool:
    before = cursor.tokens[cursor.index - 1].text
    if word == "PRECISION":
        return before == "DOUBLE"
    if word in ("WITH", "WITHOUT"):
        return cursor.peek_words(word, "TIME", "ZONE")
    if word == "TIME":
        return before in ("WITH", "WITHOUT")
    if word == "ZONE":
        return before == "TIME"
    if word in ("DAY", "YEAR"):
        return before == "INTERVAL"
    if word == "TO":
        return before in ("DAY", "YEAR")
    if word in ("SECOND", "MONTH"):
        return before == "TO"
    return False
