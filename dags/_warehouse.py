"""The dbt project as tasks: one per model, however dbt is run behind them."""

import contextlib
import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.configuration import conf
from airflow.sdk import BaseOperator
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.definitions.param import ParamsDict
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior
from cosmos.operators.base import AbstractDbtBase
from cosmos.operators.local import AbstractDbtLocalBase

from _choosing import build_only_if_chosen
from _dbt_results import store_run_results
from _parsed_project import DBT_PROJECT, begin_where_parsing_ended

EXECUTION = conf.get("daylight", "dbt_execution", fallback="local")
"""`local`: each task runs its model; `watcher`: one task runs all, the others watch it.

Set by AIRFLOW__DAYLIGHT__DBT_EXECUTION. DECISIONS.md says why it is `local`.
"""

for function in (BaseOperator.__init__, AbstractDbtBase.__init__, AbstractDbtLocalBase.__init__):
    # Cosmos works it out anew for every task: a sixth of what reading a DAG file takes.
    function.__signature__ = inspect.signature(function)

POOL, POOL_SLOTS = "warehouse", 4
"""A model takes one slot, maintenance all of them: one writer per table. Made from pools.json."""

PROFILE = ProfileConfig(
    profile_name="daylight",
    target_name="prod",
    profiles_yml_filepath=DBT_PROJECT / "profiles.yml",
)

# Reading analyses and exposures as tasks would fill each task's log with what is no task.
NOT_TASKS = ["tag:nightly", "resource_type:analysis", "resource_type:exposure"]
"""What `transform_warehouse` leaves out; the nightly tests read all of raw: verify_warehouse."""


WATCHING: dict[str, Any] = {
    # A sensor that sleeps in the triggerer is taken for lost if its answer comes too early
    # (apache/airflow#72716), and is green if its model never ran but the producer did well.
    "deferrable": False,
    "poke_interval": 1,
    "mode": "poke",
}
"""How a task that watches does it; DECISIONS.md #8."""


@contextlib.contextmanager
def _params_aside() -> Iterator[None]:
    """Keep Airflow from copying the DAG's parameters into each task, four times over.

    A run's parameters come from its DAG in any case; a task's own would only be laid over them.
    """
    dag = DagContext.get_current_dag()
    assert dag is not None, "the models are tasks of a DAG"
    params, dag.params = dag.params, ParamsDict()
    try:
        yield
    finally:
        dag.params = params


@_params_aside()
def warehouse(
    execution: str = EXECUTION,
    invocation: InvocationMode = InvocationMode.DBT_RUNNER,
    tests: TestBehavior | None = None,
    **operator_args: Any,
) -> DbtTaskGroup:
    """Return the project's models and tests as a group of tasks.

    tests/airflow_modes measures it with other ``invocation`` and ``tests`` than we use.
    """
    is_watched = execution == "watcher"
    # What watches is told a model's tests apart from the model.
    usual = TestBehavior.AFTER_EACH if is_watched else TestBehavior.BUILD
    group = DbtTaskGroup(
        group_id="warehouse",
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT,
            manifest_path=DBT_PROJECT / "target" / "manifest.json",
            install_dbt_deps=False,  # the project has no packages, and a worker may have no network
            # Unit tests prove the code, not the data: `make test` runs them, not every batch.
            env_vars={
                "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
                "DBT_LOG_LEVEL_FILE": "none",  # the file goes with the task; Airflow has its own
                "DBT_USE_FAST_TEST_EDGES": "true",
            },
        ),
        profile_config=PROFILE,
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=tests or usual,
            exclude=NOT_TASKS,
            emit_datasets=False,  # nobody waits for a single model; an event costs each task 3 s
            # A test that needs two models would otherwise run before the second one is built.
            should_detach_multiple_parents_tests=True,
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER if is_watched else ExecutionMode.LOCAL,
            invocation_mode=invocation,
        ),
        operator_args={
            "callback": store_run_results,
            "interceptors": [build_only_if_chosen, begin_where_parsing_ended],
            "full_refresh": "{{ params.full_refresh }}",
            "pool": POOL,
            # Behind a model that was not chosen the others go on; behind a red one nothing does.
            "trigger_rule": "none_failed",
            # dbt-athena repeats what Athena throttles; a wrong model or a red test stays red.
            "retries": 0,
            "execution_timeout": timedelta(minutes=30),
        }
        | (WATCHING if is_watched else {})
        | operator_args,
    )
    _leave_out_nightly_tests(group)
    if is_watched:
        # Cosmos would wait for every test of a model, also for those that are left out.
        nodes, producer = group.dbt_graph.nodes, group.children["warehouse.dbt_producer_watcher"]
        producer.tests_per_model = {
            model: [test for test in known if "nightly" not in nodes[test].config["tags"]]
            for model, known in producer.tests_per_model.items()
        }
    return group


def _leave_out_nightly_tests(group: DbtTaskGroup) -> None:
    """Take out the tasks of tests that dbt is told to leave out: they would be green untested.

    Cosmos brings back every test of a model that it draws, whatever `exclude` says of the test.
    """
    for name, node in group.dbt_graph.nodes.items():
        task = group.tasks_map.get(name)
        if task is not None and "nightly" in node.config.get("tags", ()):
            for parent in task.upstream_list:
                parent.downstream_task_ids.discard(task.task_id)
            del group.children[task.task_id], task.dag.task_dict[task.task_id]
