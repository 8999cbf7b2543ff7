"""The command line: the same calls that the DAGs make, and what only a person asks for.

Errors raised on purpose are one line on stderr; exit 75 where a retry may help, 1 where it may not.
"""

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from ingestion.commit import LandingLog
from ingestion.compacting import compact
from ingestion.errors import IngestionError
from ingestion.expiring import expire
from ingestion.lake import Lake
from ingestion.landing import land_api, land_dumps
from ingestion.marts import Marts
from ingestion.publishing import publish, staged_manifests
from ingestion.quarantine import refused
from ingestion.query_costs import collect
from ingestion.reasons import Reason
from ingestion.reconciling import reconcile
from ingestion.rederiving import rederive
from ingestion.replaying import replay
from ingestion.settings import Settings
from ingestion.status import keys, status

RETRY, FAILED = 75, 1  # 75 is EX_TEMPFAIL: cron and Kubernetes may try again


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        result = options.call(Settings.from_env(), options)
    except IngestionError as error:
        print(f"error: {error}", file=sys.stderr)
        return RETRY if error.retryable else FAILED
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here", file=sys.stderr)
        return 130
    print(json.dumps(result) if options.json else "\n".join(_spelled(result)))
    return FAILED if isinstance(result, dict) and result.get("is_clean") is False else 0


def _land(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    uri = options.uri
    return {"manifests": land_dumps(settings, uri) if uri else land_api(settings)}


def _publish(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    return publish(settings, options.manifests or staged_manifests(settings))


def _quarantine(settings: Settings, options: argparse.Namespace) -> list[dict[str, Any]]:
    """List what was refused; never an envelope, which a key might open."""
    lake = Lake(settings)
    log = LandingLog(lake)
    rows = (row for row in refused(lake, log, log.head()) if options.reason in (None, row.reason))
    shown = ("record_key", "record_id", "reason", "stage", "batch_seq", "arrived_date")
    return [
        {name: getattr(row, name) for name in (*shown, "key_fingerprint")}
        for row in islice(rows, options.limit)
    ]


def _replay(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    return {"manifests": replay(settings, options.reason)}


def _rederive(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    return {"manifests": rederive(settings, [seq for run in options.seqs for seq in run])}


def _reconcile(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    found = reconcile(settings, options.days)
    return {**asdict(found), "is_clean": found.is_clean}


def _costs(settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    return {"queries": collect(settings)}


def _adopt(settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    return {"tables": Marts(settings).adopt()}


def _spelled(result: Any) -> list[str]:
    """Return lines for a person: manifests as they are, records as a table, sums by name."""
    if isinstance(result, list):
        return _table(result)
    if set(result) == {"manifests"}:
        return result["manifests"] or ["nothing to publish"]
    width = max(map(len, result))
    return [f"{name:<{width}}  {_value(value)}" for name, value in result.items()]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["none"]
    lines = [list(rows[0]), *([_value(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _value(value: Any) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_value(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return " ".join("-".join(map(str, v)) if isinstance(v, list) else str(v) for v in value)
    return str(value)


def _seqs(text: str) -> range:
    match = re.fullmatch(r"([0-9]{1,12})(?:-([0-9]{1,12}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no batch: write 12 or 12-15")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingestion", description="Source to raw lake: land, (check), publish."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        name: str, call: Callable[[Settings, argparse.Namespace], Any], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="print one JSON value")
        made.set_defaults(call=call)
        return made

    made = command("land", _land, "take what the source offers and print the staged manifests")
    made.add_argument(
        "uri", nargs="?", help="a dump: file, folder, s3://bucket/prefix/; the API if left out"
    )
    made = command("publish", _publish, "show checked batches to readers")
    made.add_argument("manifests", nargs="*", help="default: every staged, unpublished batch")
    command("status", lambda settings, _: status(settings), "where the landing log stands")
    made = command("quarantine", _quarantine, "list what was refused, without its content")
    made.add_argument("--reason", type=Reason, choices=list(Reason), metavar="REASON")
    made.add_argument("--limit", type=_positive, default=50)
    made = command("replay", _replay, "take out of quarantine what can be read now")
    made.add_argument("--reason", type=Reason, choices=list(Reason), metavar="REASON")
    made = command("reconcile", _reconcile, "read the source again and compare it with the lake")
    made.add_argument("--days", type=_positive, default=7, help="how far back, with a cursor")
    made = command("rederive", _rederive, "derive published batches again from what was landed")
    made.add_argument("seqs", nargs="+", type=_seqs, metavar="SEQ", help="12, or 12-15")
    command("compact", lambda settings, _: compact(settings), "merge the small files of past days")
    command("expire", lambda settings, _: expire(settings), "remove what nobody needs any more")
    command("keys", lambda settings, _: keys(settings), "the key ring, and what each key opened")
    command("costs", _costs, "land what Athena's history says that queries cost")
    command("adopt", _adopt, "let dbt go on with tables that an earlier release built (once)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
