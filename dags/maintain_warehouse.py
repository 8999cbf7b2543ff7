"""
### Maintain the warehouse

Merges the small files of the Iceberg tables (`OPTIMIZE`), shows readers the merged ones
(`publish`), and forgets snapshots that are older than each table's retention, with their files
(`VACUUM`). It works on what dbt builds and takes all slots of the pool `warehouse`, so that no
model is built while a table is rewritten, and none is rewritten while models are built.

Readers see a snapshot, and `VACUUM` must not take it: while a build stands that no audit has let
through, everything is skipped; a table that was built again meanwhile is skipped alone.

| | |
| --- | --- |
| **Impact** | tier 3: queries read more files until it has run; no number changes |
| **If `list_optimize` fails** | the dbt manifest is missing: run `dbt parse`, clear the task |
| **If `optimize` fails** | the mapped task's name is the statement, its log has Athena's answer. \
Clear it; the other tables are done |
| **If `publish` fails** | readers have the files from before; clear it |
| **If `list_vacuum` fails** | as `list_optimize` |
| **If `vacuum` fails** | as `optimize` |
"""

from typing import Any

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from _defaults import TELLING, TRANSFORM_ARGS, deadline_of, fail_at_once_unless_retryable
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
    def list_statements(statement: str) -> list[dict[str, str]]:
        from _manifest import nodes
        from ingestion import Settings
        from ingestion.marts import Marts

        settings = Settings.from_env()
        marts = Marts(settings)
        if not marts.holds_published_rows():
            raise AirflowSkipException("A build stands that is not published, or was refused.")
        return [
            {
                "query": statement.format(node["name"]),
                "database": marts.names.build,
                "workgroup": settings.athena_workgroup,
                "output_location": f"s3://{settings.lake_bucket}/athena-results/",
            }
            for node in nodes().values()
            if node["config"].get("table_type") == "iceberg"
        ]

    @task(pool=POOL, pool_slots=POOL_SLOTS)
    @fail_at_once_unless_retryable
    def publish() -> None:
        from _manifest import nodes
        from ingestion import Settings
        from ingestion.marts import Marts

        marts = Marts(Settings.from_env())
        if not marts.publish_rewritten(nodes(), get_current_context()["run_id"]):
            raise AirflowSkipException("A build came between that is not published yet.")

    def run(task_id: str, **words: Any) -> Any:
        return AthenaOperator.partial(
            task_id=task_id,
            aws_conn_id=None,  # the role or the variables of the environment, as everywhere else
            sleep_time=2,
            pool=POOL,
            pool_slots=POOL_SLOTS,
            map_index_template="{{ task.query }}",
            **words,
        )

    merging = list_statements.override(task_id="list_optimize")(
        "OPTIMIZE {} REWRITE DATA USING BIN_PACK"
    )
    forgetting = list_statements.override(task_id="list_vacuum")("VACUUM {}")
    optimized = run("optimize").expand_kwargs(merging)
    optimized >> publish() >> forgetting
    run("vacuum", pre_execute=_skip_unless_shown).expand_kwargs(forgetting)


def _skip_unless_shown(context: Any) -> None:
    from ingestion import Settings
    from ingestion.marts import Marts

    if not Marts(Settings.from_env()).may_vacuum(context["task"].query.split()[-1]):
        raise AirflowSkipException("It was built again meanwhile: readers need its old snapshot.")


maintain_warehouse()
