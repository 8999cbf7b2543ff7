"""
### Verify the warehouse

Runs the dbt tests that read all of the raw table, on the tables as readers see them: every accepted
record is in every daily table once, whole and alone. Too much to read after each batch, so they run
once a night.

| | |
| --- | --- |
| **Impact** | tier 2: no table waits for it, but a number is wrong when it is red |
| **If `test` fails** | its log names the test and the SQL of the rows that break it. Run that \
SQL; rebuild what it names with `dbt build --full-refresh --select <model>+`, then clear the task |
"""

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag
from cosmos import DbtTestLocalOperator, ProfileConfig
from cosmos.constants import InvocationMode

from _dbt_results import store_run_results
from _defaults import TELLING, TRANSFORM_ARGS, deadline_of
from _parsed_project import DBT_PROJECT


@dag(
    # After reconcile_access_logs, so that what it found late is verified, too.
    schedule=CronTriggerTimetable("30 5 * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,
    default_args=TRANSFORM_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=2),
    tags=["transform"],
    **TELLING,
)
def verify_warehouse() -> None:
    """Run the nightly tests."""
    DbtTestLocalOperator(
        task_id="test",
        project_dir=DBT_PROJECT,
        select="tag:nightly",
        profile_config=ProfileConfig(
            profile_name="daylight",
            target_name="published",
            profiles_yml_filepath=DBT_PROJECT / "profiles.yml",
        ),
        invocation_mode=InvocationMode.DBT_RUNNER,
        install_deps=False,
        callback=store_run_results,
        retries=0,  # a red test stays red
        execution_timeout=timedelta(hours=1),
    )


verify_warehouse()
