"""What every DAG promises to the person on call; a failure says what to add."""

import logging
import re

import pytest
from airflow.sdk.exceptions import AirflowFailException

from cluster.settings import QUEUES_OF_WORKERS
from ingestion.errors import IngestionError

DAG_IDS = {
    "backfill_access_logs",
    "compact_lake",
    "deliver_alerts",
    "expire_history",
    "ingest_access_logs",
    "load_dumps",
    "maintain_warehouse",
    "reconcile_access_logs",
    "replay_quarantine",
    "transform_warehouse",
    "verify_warehouse",
}


class Curable(IngestionError):
    retryable = True


class Incurable(IngestionError):
    retryable = False


def own_tasks(dag) -> set[str]:
    return {task.task_id for task in dag.tasks if not task.task_id.startswith("warehouse.")}


def test_these_are_the_dags_and_no_others(dags):
    assert set(dags) == DAG_IDS


def test_every_task_waits_in_a_queue_that_workers_serve(dags):
    served = {queue for queues in QUEUES_OF_WORKERS.values() for queue in queues}
    lost = {
        f"{dag.dag_id}.{task.task_id}: {task.queue}"
        for dag in dags.values()
        for task in dag.tasks
        if task.queue not in served
    }

    assert not lost, f"No worker of cluster/settings.py would ever take {lost}"


def test_a_build_keeps_no_poll_waiting(dags):
    queues = {dag.dag_id: {task.queue for task in dag.tasks} for dag in dags.values()}

    assert queues["ingest_access_logs"] == {"ingest"}
    assert queues["transform_warehouse"] == {"transform"}


def test_every_runbook_says_what_to_do_when_a_task_fails(dags):
    silent = {
        f"{dag.dag_id}.{task_id}"
        for dag in dags.values()
        for task_id in own_tasks(dag)
        if f"**If `{task_id}` fails**" not in dag.doc_md
    }

    assert not silent, f"Add an 'If … fails' row to the module docstring for: {silent}"


def test_every_runbook_row_names_a_task_that_exists(dags):
    named = {
        f"{dag.dag_id}.{task_id}"
        for dag in dags.values()
        for task_id in re.findall(r"\*\*If `(\w+)` fails\*\*", dag.doc_md)
    }

    existing = {f"{dag.dag_id}.{task}" for dag in dags.values() for task in own_tasks(dag)}

    assert not named - existing, f"These rows are about nothing: {named - existing}"


def test_every_dag_has_one_writer_an_impact_an_owner_a_deadline_and_a_callback(dags):
    for dag in dags.values():
        assert dag.max_active_runs == 1, f"{dag.dag_id}: two runs would write the same tables"
        assert not dag.catchup, f"{dag.dag_id}: the landing log catches up, not the scheduler"
        assert "**Impact**" in dag.doc_md, f"{dag.dag_id}: say who notices"
        for task in dag.tasks:
            assert task.owner != "airflow", f"{task.task_id}: whose is it?"
            assert task.execution_timeout, f"{task.task_id}: it may hang for ever"
            assert task.has_on_failure_callback, f"{task.task_id}: its log would not say so"
        assert dag.on_failure_callback, f"{dag.dag_id}: nobody would hear of it; add **TELLING"
        assert dag.on_success_callback, f"{dag.dag_id}: its incident would never end; add **TELLING"


def test_dbt_tasks_are_not_retried_and_our_own_are(dags):
    retries = {task.task_id: task.retries for dag in dags.values() for task in dag.tasks}

    dbt_retries = {count for task, count in retries.items() if task.startswith("warehouse.")}

    assert dbt_retries == {0}, "a red test stays red; dbt-athena repeats what Athena throttles"
    assert retries["land"] == retries["publish"] == 3


def test_a_live_batch_goes_before_models_and_these_before_history(dags):
    def weights(dag_id: str) -> set[int]:
        return {
            task.priority_weight
            + (task.weight_rule != "absolute") * len(task.get_flat_relative_ids(upstream=False))
            for task in dags[dag_id].tasks
        }

    history = weights("backfill_access_logs") | weights("load_dumps")

    assert len(weights("transform_warehouse")) > 5
    assert min(weights("ingest_access_logs")) > max(weights("transform_warehouse"))
    assert max(history) <= min(weights("transform_warehouse"))


def test_ingest_runs_every_ten_minutes_by_the_sources_clock(dags):
    timetable = dags["ingest_access_logs"].timetable

    assert timetable.expression == "*/10 * * * *"
    assert str(timetable.timezone) == "Asia/Seoul"


def test_compaction_runs_at_night_and_wakes_nobody(dags):
    dag = dags["compact_lake"]

    assert dag.timetable.expression == "0 4 * * *"
    assert str(dag.timetable.timezone) == "Asia/Seoul"
    assert [task.task_id for task in dag.tasks] == ["compact"]
    assert not dag.get_task("compact").outlets  # not a row is another


def test_dumps_are_landed_by_mapped_tasks_and_published_once(dags):
    dag = dags["load_dumps"]
    land = dag.get_task("land")

    assert land.is_mapped
    assert land.upstream_task_ids == {"list_files"}
    assert land.downstream_task_ids == {"gather"}
    mapped = {task.task_id for task in dag.tasks if task.is_mapped}
    assert mapped == {"land"}, "one check and one publish for all groups"


def test_the_warehouse_wakes_up_for_the_raw_asset_and_publish_alone_updates_it(dags):
    woken_by = dags["transform_warehouse"].timetable.asset_condition
    updating = {
        (dag.dag_id, task.task_id)
        for dag in dags.values()
        for task in dag.tasks
        if any(
            outlet.name == "raw_access_logs" for outlet in task.outlets if hasattr(outlet, "name")
        )
    }

    assert "raw_access_logs" in str(woken_by)
    bring_nothing = {"compact_lake", "deliver_alerts", "maintain_warehouse"}
    bring_nothing |= {"expire_history", "transform_warehouse", "verify_warehouse"}
    assert updating == {(dag_id, "publish") for dag_id in DAG_IDS - bring_nothing}


def test_the_rendered_tasks_are_the_nodes_of_the_manifest(dags, manifest):
    models = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
    }
    tests_of_two_models = {
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "test"
        and "nightly" not in node["tags"]  # dbt leaves it out, so its task would be green untested
        and len({name for name in node["depends_on"]["nodes"] if name.startswith("model.")}) > 1
    }

    tasks = dags["transform_warehouse"].task_dict
    operators = {name: task for name, task in tasks.items() if name.startswith("warehouse.")}
    built = {task.extra_context["dbt_node_config"]["unique_id"] for task in operators.values()}

    assert len(models) >= 8
    assert built == models | tests_of_two_models
    assert len(operators) == len(built)


def test_the_mart_checks_wait_for_every_model_and_the_site_for_the_checks(dags):
    dag = dags["transform_warehouse"]
    everything = {task.task_id for task in dag.tasks if task.task_id.startswith("warehouse.")}

    before_the_checks = dag.get_task("check_marts").get_flat_relative_ids(upstream=True)

    assert everything <= before_the_checks
    assert dag.get_task("publish").upstream_task_ids == {"check_marts"}
    assert dag.get_task("build_site").upstream_task_ids == {"publish"}


def test_an_error_that_no_retry_can_cure_fails_the_task_at_once(dags):
    from _defaults import fail_at_once_unless_retryable

    @fail_at_once_unless_retryable
    def task() -> None:
        raise Incurable("the key ring is wrong")

    with pytest.raises(AirflowFailException, match="the key ring is wrong"):
        task()


@pytest.mark.parametrize("error", [Curable("the source is asleep"), ZeroDivisionError()])
def test_what_a_retry_may_cure_and_what_is_a_bug_pass_unchanged(dags, error):
    from _defaults import fail_at_once_unless_retryable

    @fail_at_once_unless_retryable
    def task() -> None:
        raise error

    with pytest.raises(type(error)):
        task()


def test_the_failure_callback_names_the_task_and_never_the_errors_text(dags, caplog):
    from types import SimpleNamespace

    from _defaults import report_failure

    task = SimpleNamespace(dag_id="ingest_access_logs", task_id="land", try_number=4)
    run = SimpleNamespace(run_id="manual__1")
    error = ValueError("user 4711 bought a secret thing")
    with caplog.at_level(logging.ERROR):
        report_failure({"ti": task, "dag_run": run, "exception": error})

    assert "dag=ingest_access_logs task=land" in caplog.text
    assert "4711" not in caplog.text
