"""
### Transform the warehouse

Builds the dbt project on Athena, one task per model with its tests, checks the marts, and then
rebuilds the site. Wakes up whenever a batch was published.

Started by hand, it builds the models that you name (*Models*), and, when somebody approves it, from
nothing (*Full refresh*: the run waits under *Required actions*).

| | |
| --- | --- |
| **Impact** | tier 1: the metrics tables and the site |
| **If `choose` fails** | a model's name is misspelt, and the message says which; nothing was \
built. Start the DAG again. Or nobody answered within 12 hours whether it may rebuild from nothing |
| **If a model fails** | read its log for dbt's message; what does not depend on it went on. Fix, \
then clear the red task with *downstream* |
| **If a test fails** | the model was built and its test is red; what depends on it did not run. \
Query the failing rows with the compiled SQL in the log, fix, then clear it |
| **If `check_marts` fails** | the tables are built and the site still shows the last good build. \
Read the named expectations in the data docs |
| **If `build_site` fails** | the old site stands; clear it |
| **If `collect_query_costs` fails** | no number depends on it; the next run collects what is \
missing |
"""

from pathlib import Path

from airflow.sdk import dag, get_current_context, task

from _assets import RAW_ACCESS_LOGS
from _choosing import PARAMS, ChooseModels
from _defaults import TELLING, TRANSFORM_ARGS, deadline_of, fail_at_once_unless_retryable
from _parsed_project import DBT_PROJECT
from _warehouse import EXECUTION, warehouse


@dag(
    schedule=[RAW_ACCESS_LOGS],
    catchup=False,
    max_active_runs=1,  # one writer per table
    default_args=TRANSFORM_ARGS,
    doc_md=__doc__,
    params=PARAMS,
    deadline=deadline_of(hours=2),
    tags=["transform"],
    **TELLING,
)
def transform_warehouse() -> None:
    """Build, check and show the warehouse."""
    models = warehouse()
    choose = ChooseModels(task_id="choose", is_watched=EXECUTION == "watcher", retries=0)

    @task(trigger_rule="none_failed")  # what was not chosen is skipped
    @fail_at_once_unless_retryable
    def check_marts() -> dict[str, object]:
        import expectations
        from ingestion import Settings

        return expectations.check_marts(Settings.from_env()).as_dict()

    @task(trigger_rule="none_failed")
    @fail_at_once_unless_retryable
    def collect_query_costs() -> int:
        from ingestion import Settings, query_costs

        return query_costs.collect(Settings.from_env())

    @task
    @fail_at_once_unless_retryable
    def build_site() -> str:
        import tempfile

        import alerts
        import dashboard
        from _dbt_results import generate_dbt_docs, show_dbt_docs_in_airflow
        from _lineage import emit_dbt_events, events_file
        from ingestion import Settings

        settings = Settings.from_env()
        with tempfile.TemporaryDirectory() as target:
            generate_dbt_docs(DBT_PROJECT, Path(target))
            emit_dbt_events(DBT_PROJECT, Path(target), get_current_context()["dag_run"].start_date)
            dashboard.collect_lineage(settings, events_file())
            standing = alerts.standing(but="transform_warehouse")
            uri = dashboard.build(settings, Path(target), standing)
            show_dbt_docs_in_airflow(Path(target))
        if day := dashboard.last_good_day(settings):
            alerts.remember_good_day(day)
        return uri

    choose >> models >> check_marts() >> build_site()
    models >> collect_query_costs()


transform_warehouse()
