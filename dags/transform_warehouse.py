"""
### Transform the warehouse

Builds the dbt project on Athena, one task per model with its tests, checks the marts, and then
rebuilds the site. Wakes up whenever a batch was published.

| | |
| --- | --- |
| **Impact** | tier 1: the metrics tables and the site |
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

from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior

from _assets import RAW_ACCESS_LOGS
from _dbt_results import store_run_results
from _defaults import DEFAULT_ARGS, TELLING, fail_at_once_unless_retryable

DBT_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"


@dag(
    schedule=[RAW_ACCESS_LOGS],
    catchup=False,
    max_active_runs=1,  # one writer per table
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["transform"],
    **TELLING,
)
def transform_warehouse() -> None:
    """Build, check and show the warehouse."""
    models = DbtTaskGroup(
        group_id="warehouse",
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT,
            manifest_path=DBT_PROJECT / "target" / "manifest.json",
            install_dbt_deps=False,  # the project has no packages, and a worker may have no network
            # Unit tests prove the code, not the data: `make test` runs them, not every batch.
            env_vars={"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"},
        ),
        profile_config=ProfileConfig(
            profile_name="daylight",
            target_name="prod",
            profiles_yml_filepath=DBT_PROJECT / "profiles.yml",
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.BUILD,
            exclude=["tag:nightly"],  # what reads all of raw: verify_warehouse runs it
            emit_datasets=False,  # nobody waits for a single model; an event costs each task 3 s
            # A test that needs two models would otherwise run before the second one is built.
            should_detach_multiple_parents_tests=True,
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.LOCAL,
            invocation_mode=InvocationMode.DBT_RUNNER,
        ),
        operator_args={
            "callback": store_run_results,
            # dbt-athena repeats what Athena throttles; a wrong model or a red test stays red.
            "retries": 0,
            "execution_timeout": timedelta(minutes=30),
        },
    )

    @task
    @fail_at_once_unless_retryable
    def check_marts() -> dict[str, object]:
        import expectations
        from ingestion import Settings

        return expectations.check_marts(Settings.from_env()).as_dict()

    @task
    @fail_at_once_unless_retryable
    def collect_query_costs() -> int:
        from ingestion import Settings, query_costs

        return query_costs.collect(Settings.from_env())

    @task
    @fail_at_once_unless_retryable
    def build_site() -> str:
        import tempfile

        import dashboard
        from _dbt_results import generate_dbt_docs
        from ingestion import Settings

        with tempfile.TemporaryDirectory() as target:
            generate_dbt_docs(DBT_PROJECT, Path(target))
            return dashboard.build(Settings.from_env(), Path(target))

    models >> check_marts() >> build_site()
    models >> collect_query_costs()


transform_warehouse()
