"""The log of a real web server, landed through the encrypted API as an operator would."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from tests.children import CLOUD
from tests.oracle import Lake
from tests.proof.world import World


def land(world: World, bucket: str) -> Lake:
    """Serve the log, land and publish all of it, and return what then lies in the lake."""
    import ingestion
    from ingestion.lake import Lake as Bucket
    from tests import real_log
    from tests.ingestion.lakes import markers, quarantine_rows, raw_rows

    # Ingestion finds its credentials where every client does.
    os.environ.update(CLOUD)
    with real_log.served(world.folder, bucket, world.endpoint) as settings:
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
