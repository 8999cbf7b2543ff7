"""The log of a real web server, landed through the encrypted API as an operator would."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from tests import servers
from tests.children import CLOUD, ROOT
from tests.oracle import Lake
from tests.proof.world import World

LOG = ROOT.parent / "shared" / "data" / "apache_access.log"


def land(world: World, bucket: str) -> Lake:
    """Serve the log, land and publish all of it, and return what then lies in the lake."""
    from cryptography.fernet import Fernet

    import ingestion
    from ingestion import Settings
    from ingestion.lake import Lake as Bucket
    from tests.ingestion.lakes import markers, quarantine_rows, raw_rows

    keys, pseudonym = (world.folder / name for name in ("fernet.keys", "pseudonym.key"))
    keys.write_text(f"{Fernet.generate_key().decode()}\n")
    pseudonym.write_text("5a" * 32)
    # Ingestion finds its credentials where every client does.
    os.environ.update(CLOUD)
    log = world.folder / "simulator.log"
    with servers.simulator(log, "--keys-file", keys, "--replay", LOG) as url:
        settings = Settings(
            source_url=url,
            source_paging="cursor",
            source_time_zone="UTC",
            metric_time_zone="UTC",
            fernet_keys_file=keys,
            pseudonym_key_file=pseudonym,
            lake_bucket=bucket,
            raw_database=f"{bucket.replace('-', '_')}_raw",
            warehouse_schema=bucket.replace("-", "_"),
            aws_endpoint_url=world.endpoint,
        )
        manifests = ingestion.land_api(settings)
        for manifest in manifests:
            ingestion.approve(settings, manifest)
        ingestion.publish(settings, manifests)
    lake = Bucket(settings)
    return Lake(_aware(raw_rows(lake)), _aware(quarantine_rows(lake)), markers(lake))


def _aware(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]
