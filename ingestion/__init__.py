"""Moves records from the source into the lake, each exactly once. Knows no Airflow and no dbt.

``land_api``, ``land_dumps``, ``replay``, ``rederive`` and ``reconcile`` commit and stage batches
and return their manifests; somebody checks those and calls ``approve``; and ``publish`` shows the
batches to readers. ``compact`` merges what they left in many small files, ``expire`` removes what
nobody needs any more.
"""

from ingestion.compacting import compact
from ingestion.errors import (
    ConfigError,
    ContractError,
    IngestionError,
    LakeUnavailable,
    SourceUnavailable,
)
from ingestion.expiring import expire
from ingestion.landing import land_api, land_dumps
from ingestion.publishing import approve, publish
from ingestion.reconciling import Reconciliation, reconcile
from ingestion.rederiving import rederive
from ingestion.replaying import replay
from ingestion.settings import Settings

__all__ = [
    "ConfigError",
    "ContractError",
    "IngestionError",
    "LakeUnavailable",
    "Reconciliation",
    "Settings",
    "SourceUnavailable",
    "approve",
    "compact",
    "expire",
    "land_api",
    "land_dumps",
    "publish",
    "reconcile",
    "rederive",
    "replay",
]
