"""Runs the suites of the marts through Athena, on what dbt built and no reader sees yet."""

from typing import Any
from urllib.parse import urlencode

from expectations.validation import Validation, quiet_context, validate_batch
from ingestion.settings import Settings
from ingestion.sides import Names

LOCAL_POLL_SECONDS = 0.05
"""A stand-in answers at once; with PyAthena's whole second, 16 expectations took half a minute."""


def connection_url(settings: Settings) -> str:
    """Return the SQLAlchemy address of what is built; credentials come from AWS's own chain."""
    parameters = {
        "region_name": settings.aws_region,
        "s3_staging_dir": f"{settings.lake_uri}/athena-results/",
        "work_group": settings.athena_workgroup,
    }
    if settings.aws_endpoint_url:
        parameters["endpoint_url"] = settings.aws_endpoint_url
        parameters["poll_interval"] = str(LOCAL_POLL_SECONDS)
    host = f"athena.{settings.aws_region}.amazonaws.com"
    schema = Names(settings.warehouse_schema).build
    return f"awsathena+rest://:@{host}:443/{schema}?{urlencode(parameters)}"


def validate(settings: Settings) -> list[Validation]:
    """Check every mart that should have rows by now.

    Where every record so far was refused, the tables about users and endpoints are rightly empty;
    pipeline health is not, and it is what has to be seen then.
    """
    from expectations import (
        fct_user_daily,
        metrics_daily_active,
        metrics_endpoint_daily,
        metrics_pipeline_health_daily,
    )

    source = quiet_context().data_sources.add_sql(
        name="warehouse", connection_string=connection_url(settings), create_temp_table=False
    )
    suites = [metrics_pipeline_health_daily.suite()]
    if _good_records(source) > 0:
        suites += [
            fct_user_daily.suite(),
            metrics_daily_active.suite(),
            metrics_endpoint_daily.suite(),
        ]
    return [
        validate_batch(
            suite,
            source.add_table_asset(name=suite.name, table_name=suite.name)
            .add_batch_definition_whole_table("whole")
            .get_batch(),
            run_name="after dbt",
        )
        for suite in suites
    ]


def _good_records(source: Any) -> int:
    """Count the good records of the snapshot that dbt built the marts from."""
    import sqlalchemy

    query = "select coalesce(sum(good_count), 0) from stg_access_logs__batches"
    with source.get_engine().connect() as connection:
        return int(connection.execute(sqlalchemy.text(query)).scalar_one())
