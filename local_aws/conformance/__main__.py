"""``judge`` asks Trino and stores its answers; ``check`` holds ours to them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from local_aws.conformance import answers
from local_aws.conformance.corpus import REFUSALS, statements, tables, topics
from local_aws.conformance.report import check
from local_aws.conformance.trino_server import JudgeError, trino


def judge(folder: Path, wanted: list[str]) -> None:
    """Ask Trino everything, or some topics, and write the golden files."""
    answered = []
    with trino(folder) as client:
        for sql in tables():
            if error := client.answer(sql).error:
                raise JudgeError(f"{error} in {sql}")
        for topic in wanted or topics():
            found = {}
            for statement in statements(topic):
                answer = client.answer(statement.sql)
                answer.sql = statement.sql
                if not statement.ordered:
                    answer.rows.sort(key=str)
                if topic == REFUSALS and not answer.error:
                    answered.append(statement.key)
                found[statement.name] = answer
            answers.write(topic, found)
            print(f"{topic}: {len(found)} answers")
    if answered:
        raise JudgeError(f"Trino does not refuse {', '.join(answered)}.")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local_aws.conformance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("judge", help="ask real Trino 435 (needs Java 17 and Maven)")
    asking.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "local_aws-trino",
                        help="where its jars are kept")  # fmt: skip
    asking.add_argument("topics", nargs="*", help="only these corpus files")
    checking = commands.add_parser("check", help="compare ours with the stored answers")
    checking.add_argument("topics", nargs="*", help="only these corpus files")
    options = parser.parse_args()
    if options.command == "judge":
        try:
            judge(options.folder, options.topics)
        except JudgeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = check(Path(folder), options.topics)
    print("\n".join(report.lines()))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
