"""The cluster's secrets: the laptop's, the servers' passwords, and one for each user."""

import json
import secrets

from cluster.settings import Cluster
from laptop import secret_files
from laptop.secret_files import write_private

USERS = ("admin", "op", "viewer")
PASSWORDS = ("database", "redis", "flower", *USERS)
METADATA = "daylight_metadata"
"""The connection by which expire_history cleans Airflow's database; see dags/_airflow_history."""


def ensure(cluster: Cluster) -> dict[str, str]:
    """Make what is missing, and return the passwords by the name of their file.

    Safe to run again: a secret that is there stays; addresses follow the ports.
    """
    folder = cluster.laptop.secrets
    secret_files.ensure(folder)
    passwords = {}
    for name in (f"{name}.password" for name in PASSWORDS):
        path = folder / name
        if not path.exists():
            write_private(path, secrets.token_hex(24) + "\n")
        passwords[name] = path.read_text().strip()
    urls = cluster.urls(passwords)
    for name, url in urls.items():
        write_private(folder / name, url)  # Airflow takes every byte, also an end of line
    variables = folder / "variables.json"
    if not variables.exists():
        write_private(variables, "{}\n")
    connections = folder / "connections.json"
    theirs = json.loads(connections.read_text()) if connections.exists() else {}
    # Without it each task of a Git bundle logs a traceback; for a private repository it is theirs.
    given = {"git_default": {"conn_type": "git"}}
    ours = {METADATA: {"conn_type": "generic", "password": urls["database.url"]}}
    write_private(connections, json.dumps(given | theirs | ours, indent=2) + "\n")
    return passwords
