"""Secrets of the embedded default: made at the first start, kept in files only the user reads."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


def ensure(folder: Path) -> None:
    """Create every secret that is missing; never change one that is there.

    Safe to run again. A secret appears whole or not at all: it is written aside and renamed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, generate in GENERATORS.items():
        path = folder / name
        if not path.exists():
            write_private(path, generate() + "\n")


def _fernet_key() -> str:
    return Fernet.generate_key().decode()


def _hex_key() -> str:
    return secrets.token_hex(32)


def _url_safe_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(48)).decode()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.rename(path)


GENERATORS: dict[str, Callable[[], str]] = {
    "fernet.keys": _fernet_key,  # what the simulator encrypts with and ingestion decrypts with
    "pseudonym.key": _hex_key,
    "airflow_fernet.key": _fernet_key,  # Airflow's own, for connections in its database
    "airflow_jwt.key": _url_safe_key,
    "airflow_api.key": _url_safe_key,
}
