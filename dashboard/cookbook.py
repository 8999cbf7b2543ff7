"""The cookbook's questions, from what dbt has compiled, and their answers from Athena."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.athena import Athena, Reply


@dataclass(frozen=True, slots=True)
class Question:
    """One analysis of the dbt project."""

    name: str
    asked: str
    """The question, one sentence."""
    meaning: str
    """What the answer means."""
    sql: str
    owner: str
    is_personal: bool
    """The answer holds pseudonyms: the site counts its rows and shows none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with what Athena replied."""

    question: Question
    reply: Reply


def nodes(dbt_target_dir: Path) -> dict[str, Any]:
    """Return what dbt's manifest has; nothing if there is no manifest."""
    manifest = dbt_target_dir / "manifest.json"
    return json.loads(manifest.read_text("utf-8"))["nodes"] if manifest.is_file() else {}


def questions(dbt_target_dir: Path) -> list[Question]:
    """Return the analyses in dbt's manifest, in order; none if there is no manifest."""
    found = []
    for node in nodes(dbt_target_dir).values():
        if node["resource_type"] != "analysis" or not node.get("compiled_code"):
            continue
        asked, _, meaning = node["description"].strip().partition("? ")
        meta = node["config"].get("meta") or node.get("meta") or {}
        found.append(
            Question(
                node["name"],
                f"{asked.removesuffix('?')}?",
                meaning,
                node["compiled_code"].strip(),
                meta.get("owner", ""),
                bool(meta.get("is_personal")),
            )
        )
    return sorted(found, key=lambda question: question.name)


def answers(asked: Iterable[Question], athena: Athena) -> list[Answer]:
    """Ask each question once; its cost is put down to its own node."""
    return [
        Answer(question, athena.ask(f"analysis.daylight.{question.name}", question.sql))
        for question in asked
    ]
