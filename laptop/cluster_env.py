"""Writes the `.env` that `docker compose` reads: generated secrets, and the local stand-ins."""

import json
import secrets
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet

from laptop.secret_files import write_private

HISTORY_DAYS = 35
FILE = "/run/secrets/connections.json"
"""Where containers have AIRFLOW_CONNECTIONS."""


def variables(now: datetime) -> dict[str, str]:
    """Return every variable of a fresh cluster with the stand-ins of the profile `local`."""
    postgres = secrets.token_hex(24)
    database = f"postgresql+psycopg2://airflow:{postgres}@postgres/airflow"
    connections = {"daylight_metadata": {"conn_type": "generic", "password": database}}
    start = (now.astimezone(ZoneInfo("Asia/Seoul")) - timedelta(days=HISTORY_DAYS)).date()
    return {
        "AIRFLOW_FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(48),  # HS512 wants 64 bytes or more
        "AIRFLOW_API_SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_hex(16),
        "AIRFLOW_OP_PASSWORD": secrets.token_hex(16),
        "AIRFLOW_VIEWER_PASSWORD": secrets.token_hex(16),
        # What Airflow's secrets backend reads; add the ones of Slack and Teams here.
        "AIRFLOW_CONNECTIONS": f"'{json.dumps(connections)}'",
        "AIRFLOW_SECRETS_BACKEND_KWARGS": f"'{json.dumps({'connections_file_path': FILE})}'",
        "POSTGRES_PASSWORD": postgres,
        "REDIS_PASSWORD": secrets.token_hex(24),
        "FLOWER_PASSWORD": secrets.token_hex(16),
        "FERNET_KEYS": Fernet.generate_key().decode(),
        "PSEUDONYM_KEY": secrets.token_hex(32),
        # From here on: the stand-ins. On AWS, README.md says which lines go.
        "COMPOSE_PROFILES": "local",
        "SIMULATOR_START": start.isoformat(),
        "SOURCE_URL": "http://simulator:4567/api/data/log",
        "SOURCE_PAGING": "cursor",
        "AWS_ENDPOINT_URL": "http://local-aws:4566",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "ATHENA_POLL_INTERVAL": "0.05",
    }


def main(path: Path) -> int:
    """Write ``path`` unless it exists: its secrets are those of the volumes already made."""
    if path.exists():
        print(f"{path} exists and is left alone; delete it for new secrets (and new volumes).")
        return 0
    lines = [
        f"{name}={value}\n" for name, value in variables(datetime.now(tz=ZoneInfo("UTC"))).items()
    ]
    write_private(path, "".join(lines))
    print(f"{path} written. Next: docker compose up -d --build --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(".env")))
