"""The corpus: named statements by topic, and the tables they read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")

REFUSALS = "refused"
"""The topic whose every statement must fail."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the corpus."""

    topic: str
    name: str
    sql: str

    @property
    def key(self) -> str:
        """How lists and reports call it."""
        return f"{self.topic}/{self.name}"

    @property
    def ordered(self) -> bool:
        """Whether the order of its rows is part of the answer: an ORDER BY outside parentheses."""
        text = re.sub(r"'(?:[^']|'')*'", "''", self.sql)
        while (inner := re.sub(r"\([^()]*\)", "", text)) != text:
            text = inner
        return re.search(r"\border\s+by\b", text, re.IGNORECASE) is not None


def topics() -> list[str]:
    """The names of the corpus files."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def statements(topic: str) -> list[Statement]:
    """What a file holds: ``name: statement``, one to a line; ``#`` begins a comment."""
    found: dict[str, Statement] = {}
    for number, line in enumerate((FOLDER / f"{topic}.txt").read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        name, colon, sql = line.partition(": ")
        if not colon or not re.fullmatch(r"[a-z_0-9]+", name) or name in found:
            raise ValueError(f"{topic}.txt:{number}: expected an unused name, a colon, a statement")
        found[name] = Statement(topic, name, sql)
    return list(found.values())


def tables() -> list[str]:
    """The statements that make the tables."""
    text = re.sub(r"^--.*$", "", (FOLDER / "tables.sql").read_text("utf-8"), flags=re.MULTILINE)
    return [part.strip() for part in text.split(";\n") if part.strip()]
