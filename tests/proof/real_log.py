"""The log of a real web server, landed through the encrypted API as an operator would."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.oracle import Lake
from tests.proof.world import ROOT, World

LOG = ROOT.parent / "shared" / "data" / "apache_access.log"
_START_SECONDS = 60


def land(world: World, bucket: str) -> Lake:
    """Serve the log, land and publish all of it, and return what then lies in the lake."""
    import ingestion
    from ingestion.lake import Lake as Bucket
    from tests.ingestion.lakes import markers, quarantine_rows, raw_rows

    settings = _settings(world, bucket)
    keys, pseudonym = settings.fernet_keys_file, settings.pseudonym_key_file
    assert keys
    assert pseudonym
    # Ingestion finds its credentials where every client does.
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    command = [sys.executable, "-m", "simulator", "--keys-file", str(keys), "--replay", str(LOG)]
    port = settings.source_url.split(":")[2].split("/")[0]
    with subprocess.Popen(
        [*command, "--port", port], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            ready, _, _ = select.select([server.stdout], [], [], _START_SECONDS)
            if not ready or "ready" not in server.stdout.readline():
                raise RuntimeError("the simulator did not come up")
            manifests = ingestion.land_api(settings)
            for manifest in manifests:
                ingestion.approve(settings, manifest)
            ingestion.publish(settings, manifests)
        finally:
            server.kill()
    lake = Bucket(settings)
    return Lake(_aware(raw_rows(lake)), _aware(quarantine_rows(lake)), markers(lake))


def _settings(world: World, bucket: str) -> Any:
    from cryptography.fernet import Fernet

    from ingestion import Settings
    from tests.servers import free_port

    def secret(name: str, text: str) -> Path:
        path = world.folder / name
        path.write_text(f"{text}\n")
        return path

    return Settings(
        source_url=f"http://127.0.0.1:{free_port()}/api/data/log",
        source_paging="cursor",
        source_time_zone="UTC",
        metric_time_zone="UTC",
        fernet_keys_file=secret("fernet.keys", Fernet.generate_key().decode()),
        pseudonym_key_file=secret("pseudonym.key", "5a" * 32),
        lake_bucket=bucket,
        raw_database=f"{bucket.replace('-', '_')}_raw",
        warehouse_schema=bucket.replace("-", "_"),
        aws_endpoint_url=world.endpoint,
    )


def _aware(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]
