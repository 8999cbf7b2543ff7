"""The command line: the same calls that the DAGs make.

Errors raised on purpose are one line on stderr; exit 75 where a retry may help, 1 where it may not.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from ingestion.commit import LandingLog
from ingestion.errors import IngestionError
from ingestion.lake import Lake
from ingestion.landing import land_api, land_dumps
from ingestion.ledger import total
from ingestion.publishing import publish, staged_manifests
from ingestion.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        result = _run(options, Settings.from_env())
    except IngestionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 75 if error.retryable else 1  # 75 is EX_TEMPFAIL: cron and k8s may try again
    print(json.dumps(result) if options.json else "\n".join(_spelled(result)))
    return 0


def _run(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    if options.command == "land-api":
        return {"manifests": land_api(settings)}
    if options.command == "land-dumps":
        return {"manifests": land_dumps(settings, options.uri)}
    if options.command == "publish":
        return publish(settings, options.manifests or staged_manifests(settings))
    return status(settings)


def status(settings: Settings) -> dict[str, Any]:
    """Return where the landing log stands: its head, what waits, what was taken, the sums."""
    log = LandingLog(Lake(settings))
    head = log.head()
    waiting = log.unpublished()
    done = (log.marker(seq) for seq in range(1, head.seq + 1) if seq not in waiting)
    ranges = list(head.settled)
    return {
        "head": head.seq,
        "unpublished": waiting,
        "highest_id": ranges[-1][1] if ranges else None,
        "missing_ids": sum(high - low + 1 for low, high in head.settled.gaps()),
        **total(marker for marker in done if marker),
    }


def _spelled(result: dict[str, Any]) -> list[str]:
    manifests = result.get("manifests")
    if manifests is not None:
        return manifests or ["nothing to publish"]
    return [" ".join(f"{name}={json.dumps(value)}" for name, value in result.items())]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingestion", description="Source to raw lake: land, (check), publish."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON object")
    commands.add_parser(
        "land-api", parents=[shared], help="take what the API offers; print manifests"
    )
    dump = commands.add_parser("land-dumps", parents=[shared], help="take a dump; print manifests")
    dump.add_argument("uri", help="file, folder, s3://bucket/key or s3://bucket/prefix/")
    show = commands.add_parser("publish", parents=[shared], help="show staged batches to readers")
    show.add_argument("manifests", nargs="*", help="default: every staged, unpublished batch")
    commands.add_parser("status", parents=[shared], help="where the landing log stands")
    return parser


if __name__ == "__main__":
    sys.exit(main())
