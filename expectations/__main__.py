"""The calls that the DAGs make, from a shell: check a batch, check the marts, look at the docs."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from expectations import check_batch, check_marts, docs
from ingestion.errors import IngestionError
from ingestion.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is green (warnings included), 1 a failure, 75 worth a retry."""
    parser = argparse.ArgumentParser(prog="python -m expectations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    batch = commands.add_parser("check-batch", help="check a staged batch before it is published")
    batch.add_argument("manifest", help="s3://…/manifest.json")
    commands.add_parser("check-marts", help="check the tables that dbt built, through Athena")
    site = commands.add_parser("docs", help="write the data docs of the latest checks")
    site.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env()
        if options.command == "docs":
            shown = docs.build(settings, options.directory)
            print(f"{options.directory / 'index.html'} shows {shown} validations")
            return 0
        result = (
            check_batch(settings, options.manifest)
            if options.command == "check-batch"
            else check_marts(settings)
        )
    except IngestionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 75 if error.retryable else 1
    print(json.dumps(result.as_dict(), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
