"""The cluster's secrets: the laptop's, the servers' passwords, and one for each user."""

import secrets

from cluster.settings import Cluster
from laptop import secret_files
from laptop.secret_files import write_private

USERS = ("admin", "op", "viewer")
PASSWORDS = ("database", "redis", "flower", *USERS)
EMPTY = ("connections.json", "variables.json")


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
    for name in EMPTY:
        if not (folder / name).exists():
            write_private(folder / name, "{}\n")
    for name, url in cluster.urls(passwords).items():
        write_private(folder / name, url)  # Airflow takes every byte, also an end of line
    return passwords
