"""Airflow without a login is for this machine alone."""

import ipaddress
import itertools
import sys
from collections.abc import Sequence

from airflow.configuration import conf


def refuse(words: Sequence[str] = sys.argv) -> None:
    """End this process if it would open Airflow to whoever can connect.

    Raises:
        SystemExit: with what is wrong and what to do, if everybody is admin and the address on
            which Airflow listens is not loopback.
    """
    address = listening_address(words)
    if is_open() and not is_loopback(address):
        raise SystemExit(
            f"error: Airflow would listen on {address} with everybody as admin "
            "(SIMPLE_AUTH_MANAGER_ALL_ADMINS=True): whoever can connect could run code here. "
            "Listen on 127.0.0.1 (AIRFLOW__API__HOST), or set "
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=False and give it users."
        )


def is_open() -> bool:
    """Tell whether everybody is admin without a login."""
    manager = conf.get("core", "auth_manager", fallback="")
    is_simple = manager.endswith(".SimpleAuthManager") or not manager
    return is_simple and conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False)


def listening_address(words: Sequence[str]) -> str:
    """Return the address that the API server takes: a word of its command, or the setting."""
    for word, following in itertools.pairwise([*words, ""]):
        if word in ("-H", "--host"):
            return following
        if word.startswith("--host="):
            return word.removeprefix("--host=")
        if word.startswith("-H"):
            return word.removeprefix("-H")
    return str(conf.get("api", "host", fallback="0.0.0.0"))


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can connect there; a name that needs a resolver is not."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
