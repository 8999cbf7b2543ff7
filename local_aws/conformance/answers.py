"""Answers: what an engine says to a statement, and the files that keep Trino's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("golden")


@dataclass(slots=True)
class Answer:
    """Columns and rows, or the name and text of an error."""

    columns: list[tuple[str, str]] = field(default_factory=list)
    """Name and type of each, the type as ``typeof`` spells it."""

    rows: list[list[Any]] = field(default_factory=list)
    error: str = ""
    message: str = ""
    sql: str = ""
    """The statement that was asked: an answer to another one is none."""


def write(topic: str, answers: dict[str, Answer]) -> None:
    """Store a topic's answers: one row to a line, so that a diff shows what changed."""
    parts = [f"{_json(name)}: {_shown(answer)}" for name, answer in answers.items()]
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    (FOLDER / f"{topic}.json").write_text(text, "utf-8")


def read(topic: str) -> dict[str, Answer]:
    """A topic's stored answers by name."""
    stored = json.loads((FOLDER / f"{topic}.json").read_text("utf-8"))
    return {
        name: Answer(
            [(column, kind) for column, kind in one.get("columns", [])],
            one.get("rows", []),
            one.get("error", ""),
            one.get("message", ""),
            one["sql"],
        )
        for name, one in stored.items()
    }


def _shown(answer: Answer) -> str:
    if answer.error:
        return _json({"sql": answer.sql, "error": answer.error, "message": answer.message})
    rows = "".join(f"\n    {_json(row)}," for row in answer.rows).rstrip(",")
    return f'{{"sql": {_json(answer.sql)}, "columns": {_json(answer.columns)}, "rows": [{rows}]}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
