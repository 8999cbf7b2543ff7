"""The only reader of the environment. Knows names and shapes of settings.

Secrets stay in files (``*_FILE``) or in Secrets Manager (``*_SECRET``) where they can: what is not
in Settings cannot be printed with it. Those that may be in the environment are hidden from repr.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingestion.errors import ConfigError

Paging = Literal["window", "cursor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One frozen object, made at the edge (CLI or task) and passed down.

    Each field is read from the variable of the same name in capitals.
    """

    source_url: str
    """Address of the log API, without a query string."""

    fernet_keys_file: Path | None = None
    """A file with the key ring (keys.py): a JSON document, or one key per line, newest first."""

    fernet_keys: str | None = field(default=None, repr=False)
    """The key ring itself; hidden from repr so that it never reaches a log."""

    fernet_keys_secret: str | None = None
    """Name or ARN of a secret of Secrets Manager that holds the key ring; read by every run."""

    pseudonym_key_file: Path | None = None
    """A file with 64 hex digits: the secret of ``privacy.Pseudonyms``."""

    pseudonym_key: str | None = field(default=None, repr=False)
    """The 64 hex digits themselves; hidden from repr."""

    pseudonym_key_secret: str | None = None
    """Name or ARN of a secret of Secrets Manager that holds them."""

    source_paging: Paging = "window"
    """``window``: the API answers with its latest records; ``cursor``: ``?after=<id>&limit=``."""

    source_page_limit: int = 1_000
    """Records asked for per page in cursor paging."""

    source_time_zone: str = "Asia/Seoul"
    """The zone in which the source's clock is read; declared, never guessed."""

    source_false_z: bool = True
    """The source writes ``Z`` behind wall time (SOURCE.md), so ``Z`` says nothing."""

    source_consecutive_ids: bool = True
    """The source numbers its records without gaps, so that a number that never came is a record
    that is missing."""

    source_token_file: Path | None = None
    """A bearer token for the API, where it wants one."""

    lake_bucket: str = "daylight-lake"
    """The bucket that holds everything: landing log, raw, warehouse, site."""

    raw_database: str = "daylight_raw"
    """Glue database of the tables that ingestion declares."""

    warehouse_schema: str = "daylight"
    """Glue database that readers query. dbt writes beside it: ``marts.py``."""

    athena_workgroup: str = "primary"
    """Athena work group of every query we start."""

    metric_time_zone: str = "Asia/Seoul"
    """The zone whose days the metrics count."""

    keep_landing_days: int = 30
    """Bodies of published batches, from which ``rederive`` derives again (``expiring``)."""

    keep_staging_days: int = 14
    """Staged files of published batches; only a check that is repeated reads them."""

    keep_query_results_days: int = 7
    """What Athena answered, long after whoever asked has read it."""

    keep_validations_days: int = 90
    """What the checks found; the last one of each suite stays."""

    keep_airflow_days: int = 30
    """Airflow's own history: runs, and the logs of their tasks."""

    aws_region: str = "us-east-1"
    """Region of the bucket, Glue and Athena; AWS_DEFAULT_REGION is read where this is not set."""

    aws_endpoint_url: str | None = None
    """A stand-in for AWS; not set on AWS itself."""

    airflow_url: str | None = None
    """Airflow's own address, for the link on the site."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:  # noqa: TID251 - the one place
        """Read all settings and report everything that is wrong at once.

        Raises:
            ConfigError: naming every missing and every unusable variable.
        """
        values: dict[str, object] = {}
        missing: list[str] = []
        problems: list[str] = []
        given = {each.name: env.get(each.name.upper(), "").strip() for each in fields(cls)}
        given["aws_region"] = given["aws_region"] or env.get("AWS_DEFAULT_REGION", "").strip()
        for name, text in given.items():
            if text:
                try:
                    values[name] = _PARSERS.get(name, str)(text)
                except ValueError as error:
                    problems.append(f"{name.upper()} {error}")
        for ways in _REQUIRED:
            chosen = [way.upper() for way in ways if given[way]]
            if not chosen:
                missing.append(" or ".join(way.upper() for way in ways))
            elif len(chosen) > 1:
                problems.append(f"Set only one of {' and '.join(chosen)}")
        if missing:
            problems.insert(0, f"Missing environment variables: {', '.join(missing)}")
        if problems:
            raise ConfigError(
                f"{'; '.join(problems)}. .env.example describes every variable; "
                "`. .daylight/activate` sets them to what `make run` uses."
            )
        return cls(**cast(dict[str, Any], values))

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the name of every variable that ``from_env`` reads."""
        return (*(each.name.upper() for each in fields(cls)), "AWS_DEFAULT_REGION")

    @property
    def lake_uri(self) -> str:
        """The bucket as a URI, without a trailing slash."""
        return f"s3://{self.lake_bucket}"


_REQUIRED = (
    ("source_url",),
    ("fernet_keys_file", "fernet_keys", "fernet_keys_secret"),
    ("pseudonym_key_file", "pseudonym_key", "pseudonym_key_secret"),
)
# Exactly one of each row. No default: a forgotten one must stop a production run, not send it to
# a laptop's address.


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password:
        raise ValueError("must not carry a password: put a token into SOURCE_TOKEN_FILE")
    if parts.query or parts.fragment:
        raise ValueError("must have no query string")
    return text


def _paging(text: str) -> str:
    if text not in ("window", "cursor"):
        raise ValueError(f"must be window or cursor, not {text!r}")
    return text


def _page_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):
        raise ValueError(f"must be a whole number from 1 to 100000, not {text!r}")
    return int(text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 36_500):
        raise ValueError(f"must be a whole number of days from 1 to 36500, not {text!r}")
    return int(text)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"must be an IANA time zone such as Asia/Seoul, not {text!r}") from None
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text!r}")
    return text.lower() == "true"


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _bucket(text: str) -> str:
    if "/" in text or ":" in text:
        raise ValueError("must be a bucket's name, not an address")
    return text


_PARSERS: dict[str, Callable[[str], object]] = {
    "source_url": _url,
    "fernet_keys_file": _path,
    "pseudonym_key_file": _path,
    "source_paging": _paging,
    "source_page_limit": _page_limit,
    "source_time_zone": _zone,
    "source_false_z": _boolean,
    "source_consecutive_ids": _boolean,
    "source_token_file": _path,
    "lake_bucket": _bucket,
    "keep_landing_days": _days,
    "keep_staging_days": _days,
    "keep_query_results_days": _days,
    "keep_validations_days": _days,
    "keep_airflow_days": _days,
    "airflow_url": _url,
    "metric_time_zone": _zone,
}
