"""
### Maintain the warehouse

Merges the small files of the Iceberg tables (`OPTIMIZE`), and forgets snapshots that are older than
each table's retention, with their files (`VACUUM`). It takes all slots of the pool `warehouse`, so
that no model is built while a table is rewritten, and none is rewritten while models are built.

| | |
| --- | --- |
| **Impact** | tier 3: queries read more files until it has run; no number changes |
| **If `list_statements` fails** | the dbt manifest is missing: run `dbt parse`, clear the task |
| **If `run` fails** | the mapped task's name is the statement, its log has Athena's answer. Clear \
it; the other tables are done |
"""

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.sdk import CronTriggerTimetable, dag, task

from _defaults import TELLING, TRANSFORM_ARGS, deadline_of, fail_at_once_unless_retryable
from _parsed_project import DBT_PROJECT
from _warehouse import POOL, POOL_SLOTS


@dag(
    # A window of its own: Sunday night, behind compact_lake, reconcile and verify_warehouse.
    schedule=CronTriggerTimetable("30 6 * * SUN", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=TRANSFORM_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=4),
    tags=["maintain"],
    **TELLING,
)
def maintain_warehouse() -> None:
    """Rewrite and clear up every Iceberg table, one at a time."""

    @task
    @fail_at_once_unless_retryable
    def list_statements() -> list[dict[str, str]]:
        import json

        from ingestion import Settings

        settings = Settings.from_env()
        nodes = json.loads((DBT_PROJECT / "target" / "manifest.json").read_text())["nodes"]
        tables = sorted(
            node["name"] for node in nodes.values() if node["config"].get("table_type") == "iceberg"
        )
        return [
            {
                "query": statement.format(table),
                "database": settings.warehouse_schema,
                "workgroup": settings.athena_workgroup,
                "output_location": f"s3://{settings.lake_bucket}/athena-results/",
            }
            for table in tables
            for statement in ("OPTIMIZE {} REWRITE DATA USING BIN_PACK", "VACUUM {}")
        ]

    AthenaOperator.partial(
        task_id="run",
        aws_conn_id=None,  # the role or the variables of the environment, as everywhere else
        sleep_time=2,
        pool=POOL,
        pool_slots=POOL_SLOTS,
        map_index_template="{{ task.query }}",
    ).expand_kwargs(list_statements())


maintain_warehouse()
