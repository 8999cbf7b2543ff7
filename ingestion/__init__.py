"""Moves records from the source into the lake, each exactly once. Knows no Airflow and no dbt.

``land_api`` and ``land_dumps`` commit and stage batches, somebody checks the manifests that they
return, and ``publish`` shows those batches to readers.
"""

from ingestion.errors import (
    ConfigError,
    ContractError,
    IngestionError,
    LakeUnavailable,
    SourceUnavailable,
)
from ingestion.landing import land_api, land_dumps
from ingestion.publishing import publish
from ingestion.settings import Settings

__all__ = [
    "ConfigError",
    "ContractError",
    "IngestionError",
    "LakeUnavailable",
    "Settings",
    "SourceUnavailable",
    "land_api",
    "land_dumps",
    "publish",
]
