"""The log of a real web server, served through the encrypted API; it is not part of the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from ingestion import Settings
from tests import servers
from tests.children import ROOT

LOG = ROOT.parent / "shared" / "data" / "apache_access.log"


@contextmanager
def served(folder: Path, bucket: str, aws: str) -> Iterator[Settings]:
    """Serve the log under a key of its own; yield the settings of a lake that may take it."""
    keys, pseudonym = (folder / name for name in ("fernet.keys", "pseudonym.key"))
    keys.write_text(f"{Fernet.generate_key().decode()}\n")
    pseudonym.write_text("5a" * 32 + "\n")
    schema = bucket.replace("-", "_")
    arguments = ("--keys-file", keys, "--replay", LOG)
    with servers.simulator(folder / "simulator.log", *arguments) as url:
        yield Settings(
            source_url=url,
            source_paging="cursor",
            source_time_zone="UTC",
            metric_time_zone="UTC",
            fernet_keys_file=keys,
            pseudonym_key_file=pseudonym,
            lake_bucket=bucket,
            raw_database=f"{schema}_raw",
            warehouse_schema=schema,
            aws_endpoint_url=aws,
        )
