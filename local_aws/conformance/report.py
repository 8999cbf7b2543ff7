"""The whole corpus on ours, each difference against the list of those that are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from local_aws.conformance import answers
from local_aws.conformance.compare import EQUAL, REFUSED, WRONG, Verdict, compare
from local_aws.conformance.corpus import REFUSALS, Statement, statements, topics
from local_aws.conformance.ours import ours

LISTED = Path(__file__).with_name("differences.txt")

SHARE = 0.98
"""Of the corpus, what must be equal."""


@dataclass(slots=True)
class Report:
    """Verdicts, and what they come to."""

    verdicts: list[tuple[Statement, Verdict]]
    listed: dict[str, str]
    """Known differences: key and reason."""

    refusals: int = 0
    """Statements that must be refused and were."""

    missing: list[str] = field(default_factory=list)
    """Statements that Trino was not asked, in these words."""

    @property
    def wrong(self) -> list[tuple[Statement, Verdict]]:
        """Answers that are not Trino's and not listed."""
        return [(s, v) for s, v in self.verdicts if v.word == WRONG and s.key not in self.listed]

    @property
    def stale(self) -> list[str]:
        """Listed, and no difference any more."""
        words = {s.key: v.word for s, v in self.verdicts}
        return sorted(key for key in self.listed if words.get(key, WRONG) == EQUAL)

    def count(self, word: str) -> int:
        """How many of the unlisted have this verdict."""
        return sum(v.word == word and s.key not in self.listed for s, v in self.verdicts)

    @property
    def share(self) -> float:
        """Equal, of all that is not in the list of refusals."""
        return self.count(EQUAL) / max(1, len(self.verdicts))

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, stale or without an answer, and enough is equal."""
        return not (self.wrong or self.stale or self.missing) and self.share >= SHARE

    def lines(self) -> list[str]:
        """What to print; the last line is the sum."""
        out = [f"refused {s.key}: {v.why}" for s, v in self.verdicts
               if v.word == REFUSED and s.key not in self.listed]  # fmt: skip
        out += [f"WRONG {s.key}: {v.why}\n    {s.sql}" for s, v in self.wrong]
        out += [f"STALE {key}: no difference any more; take it from {LISTED.name}"
                for key in self.stale]  # fmt: skip
        out += [f"MISSING {key}: run `make judge`" for key in self.missing]
        listed = len(self.verdicts) - sum(self.count(w) for w in (EQUAL, REFUSED, WRONG))
        return [
            *out,
            f"refusals: {self.refusals} of {self.refusals} statements that Athena rejects are "
            f"rejected; equal are {self.share:.1%} of {len(self.verdicts)}",
            f"conformance: equal={self.count(EQUAL)} refused={self.count(REFUSED)} "
            f"listed={listed} wrong={len(self.wrong)}",
        ]


def known_differences() -> dict[str, str]:
    """``topic/name: reason`` of each line."""
    lines = LISTED.read_text("utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return {key: reason for key, reason in pairs}


def check(folder: Path, wanted: list[str]) -> Report:
    """Run it all, or some topics."""
    listed = known_differences()
    chosen = wanted or topics()
    report = Report([], {k: r for k, r in listed.items() if k.split("/")[0] in chosen})
    with ours(folder) as engine:
        for topic in chosen:
            stored = answers.read(topic)
            for statement in statements(topic):
                trino = stored.get(statement.name)
                if trino is None or trino.sql != statement.sql:
                    report.missing.append(statement.key)
                    continue
                got = engine.answer(statement.sql)
                if topic == REFUSALS and got.error not in ("", "INTERNAL"):
                    report.refusals += 1
                    continue
                report.verdicts.append((statement, compare(statement, trino, got)))
    return report
