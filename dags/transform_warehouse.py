"""
### Transform the warehouse

Builds the dbt project on Athena beside what readers see, one task per model with its tests; checks
the marts; publishes them, all tables at once; and rebuilds the site. Wakes up whenever a batch was
published. Whatever is red before `publish`, readers keep the numbers they have, and the site says
that the newest build was refused, and by what.

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
| **If `check_marts` fails** | a blocking expectation: readers keep yesterday's numbers. Read its \
name in the log or on the site, fix, rebuild the model, and clear the task with *downstream* |
| **If `warn` fails** | an expectation that only warns: its name is in the log. The numbers are \
published; nothing waits for it. Look at the data docs in the morning |
| **If `publish` fails** | nobody sees a half: its message says what is missing. Clear it |
| **If `build_site` fails** | the old site stands; clear it |
| **If `show_refusal` fails** | the site does not say that it is of yesterday; the red tasks above \
do. Clear it |
| **If `collect_query_costs` fails** | no number depends on it; the next run collects what is \
missing |
"""

from pathlib import Path

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from _assets import RAW_ACCESS_LOGS
from _choosing import PARAMS, ChooseModels
from _defaults import TELLING, TRANSFORM_ARGS, deadline_of, fail_at_once_unless_retryable
from _parsed_project import DBT_PROJECT
from _warehouse import EXECUTION, POOL, POOL_SLOTS, warehouse


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

    @task(retries=0)
    def warn(checked: dict[str, list[str]]) -> None:
        """Be red where something is suspicious; the run is not: this is none of its leaves."""
        if checked["failed_warning"]:
            raise AirflowFailException("; ".join(checked["failed_warning"]))

    @task(pool=POOL, pool_slots=POOL_SLOTS)  # nothing is written while it is looked at
    @fail_at_once_unless_retryable
    def publish() -> bool:
        from _manifest import nodes
        from ingestion import Settings
        from ingestion.marts import Marts

        marts = Marts(Settings.from_env())
        is_new = marts.publish(nodes(), get_current_context()["run_id"])
        marts.sweep()
        return is_new

    @task(trigger_rule="all_done")  # also of a red run: what it asked costs the same
    @fail_at_once_unless_retryable
    def collect_query_costs() -> int:
        from ingestion import Settings, query_costs

        return query_costs.collect(Settings.from_env())

    @task
    @fail_at_once_unless_retryable
    def build_site() -> str | None:
        return _build_site()

    # No leaf on which a green run depends: behind something red `build_site` is red, too.
    @task(trigger_rule="one_failed")
    @fail_at_once_unless_retryable
    def show_refusal() -> str | None:
        return _build_site()

    checked, costs = check_marts(), collect_query_costs()
    published = publish()
    choose >> models >> checked >> published >> build_site()
    warn(checked) >> costs
    models >> costs
    published >> show_refusal()


def _build_site() -> str | None:
    """Build the site from what is published; before the first publication there is nothing."""
    import tempfile

    import alerts
    import dashboard
    from _dbt_results import generate_dbt_docs, show_dbt_docs_in_airflow
    from _lineage import emit_dbt_events, events_file
    from ingestion import Settings
    from ingestion.marts import Marts

    settings = Settings.from_env()
    if Marts(settings).published_at() is None:
        return None
    with tempfile.TemporaryDirectory() as target:
        generate_dbt_docs(DBT_PROJECT, Path(target))
        emit_dbt_events(DBT_PROJECT, Path(target), get_current_context()["dag_run"].start_date)
        dashboard.collect_lineage(settings, events_file())
        standing = alerts.standing(but="transform_warehouse")
        publication = dashboard.read_publication(settings, Path(target))
        uri = dashboard.build(settings, Path(target), standing, publication)
        show_dbt_docs_in_airflow(Path(target))
    if day := dashboard.last_good_day(settings):
        alerts.remember_good_day(day)
    return uri


transform_warehouse()
