"""What a run of the warehouse builds, and who may write its tables at the same time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.ingestion.lakes import MemoryLake

REPOSITORY = Path(__file__).resolve().parents[2]

LOOKING_ON = """
import sys
seen = []
sys.addaudithook(lambda event, details: seen.append((event, str(details[:1]))) if event in (
    "socket.connect", "socket.getaddrinfo", "sqlite3.connect") else None)
sys.path.insert(0, "dags")
from airflow.dag_processing.dagbag import DagBag
before = len(seen)
bag = DagBag("dags")
heavy = {"great_expectations", "pandas", "pyarrow", "pyathena", "dbt.cli.main", "ingestion"}
import json
print(json.dumps({"dags": len(bag.dags), "errors": len(bag.import_errors),
                  "seen": seen[before:], "heavy": sorted(heavy & set(sys.modules))}))
"""


def chosen_by(context_models: str, chosen: list[str] | None = None) -> dict:
    task = SimpleNamespace(xcom_pull=lambda task_ids, key: chosen)
    return {"params": {"models": context_models}, "ti": task}


def operator_of(dags, name: str):
    tasks = dags["transform_warehouse"].tasks
    return next(
        task
        for task in tasks
        if task.task_id.startswith("warehouse.")
        and task.extra_context["dbt_node_config"]["resource_name"] == name
    )


@pytest.fixture
def in_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("LAKE_BUCKET", "daylight-lake")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_reading_the_dag_files_asks_neither_network_nor_database_and_loads_nothing_heavy(
    manifest, tmp_path
):
    env = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
        "AIRFLOW__COSMOS__CACHE_DIR": str(tmp_path / "cosmos"),
        "PYTHONPATH": str(REPOSITORY),
    }

    done = subprocess.run(
        [sys.executable, "-c", LOOKING_ON], cwd=REPOSITORY, env=env, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["dags"] >= 9
    assert found["errors"] == 0
    assert found["seen"] == []
    assert found["heavy"] == [], "import it inside the task"


def test_a_misspelt_model_is_red_and_its_name_is_guessed(dags, manifest, in_repository):
    from _choosing import selected

    with pytest.raises(
        AirflowFailException, match=r"metrics_daily_activ\. Did you mean metrics_daily_active"
    ):
        selected("fct_sessions metrics_daily_activ")


def test_models_are_selected_as_dbt_selects_them(dags, manifest, in_repository):
    from _choosing import selected

    found = selected("+int_finality fct_sessions,tag:marts")

    nodes = manifest["nodes"]
    wanted, todo = {"fct_sessions"}, ["model.daylight.int_finality"]
    while todo:
        node = nodes[todo.pop()]
        wanted.add(node["name"])
        todo += [name for name in node["depends_on"]["nodes"] if name.startswith("model.")]
    assert found == wanted
    assert len(found) > 2


def test_an_ordinary_run_builds_every_model_without_asking_what_was_chosen(dags):
    from _choosing import build_only_if_chosen

    build_only_if_chosen({"params": {"models": ""}, "ti": None}, operator_of(dags, "fct_sessions"))


def test_a_chosen_run_skips_what_was_not_chosen(dags):
    from _choosing import build_only_if_chosen

    context = chosen_by("fct_sessions", ["fct_sessions"])

    build_only_if_chosen(context, operator_of(dags, "fct_sessions"))
    with pytest.raises(AirflowSkipException):
        build_only_if_chosen(context, operator_of(dags, "dim_users"))


def test_of_all_tasks_exactly_those_run_whose_model_or_test_was_chosen(dags, manifest):
    from _choosing import build_only_if_chosen

    def runs(task) -> bool:
        try:
            build_only_if_chosen(chosen_by("x", sorted(chosen)), task)
        except AirflowSkipException:
            return False
        return True

    # One that others need, and two of a test that needs more than them.
    chosen = {"fct_sessions", "int_finality", "metrics_funnel_daily"}
    nodes = manifest["nodes"]

    def is_meant(node_id: str) -> bool:
        node = nodes[node_id]
        names = {nodes[name]["name"] for name in node["depends_on"]["nodes"] if name in nodes}
        return bool(chosen & (names if node["resource_type"] == "test" else {node["name"]}))

    tasks = [task for task in dags["transform_warehouse"].tasks if "warehouse." in task.task_id]
    ids = {task.task_id: task.extra_context["dbt_node_config"]["unique_id"] for task in tasks}
    ran = {task.task_id for task in tasks if runs(task)}

    assert ran == {task_id for task_id, node_id in ids.items() if is_meant(node_id)}
    assert len(chosen) < len(ran) < len(tasks) / 2


def test_a_test_of_two_models_runs_with_either(dags):
    from _choosing import build_only_if_chosen

    test = operator_of(dags, "assert_funnels_never_increase")

    build_only_if_chosen(chosen_by("x", ["metrics_funnel_daily"]), test)
    with pytest.raises(AirflowSkipException):
        build_only_if_chosen(chosen_by("x", ["dim_users"]), test)


def test_a_model_runs_behind_skipped_ones_and_never_behind_a_red_one(dags):
    tasks = [task for task in dags["transform_warehouse"].tasks if task.task_id != "choose"]

    rules = {task.task_id: task.trigger_rule for task in tasks}

    # Each of these has one task before it, which is skipped only if everything is.
    assert {name for name, rule in rules.items() if rule == "all_success"} == {
        "warn",
        "publish",
        "build_site",
    }
    others = {
        name: rule for name, rule in rules.items() if rule not in ("all_success", "none_failed")
    }
    assert others == {"collect_query_costs": "all_done", "show_refusal": "one_failed"}


def test_what_decides_a_run_is_published_and_a_warning_does_not(dags):
    tasks = dags["transform_warehouse"].task_dict

    leaves = {name for name, task in tasks.items() if not task.downstream_task_ids}

    # Airflow calls a run failed if one of its leaves is; behind something red build_site is.
    assert leaves == {"build_site", "show_refusal", "collect_query_costs"}
    assert tasks["warn"].upstream_task_ids == {"check_marts"}
    assert tasks["warn"].downstream_task_ids == {"collect_query_costs"}
    assert tasks["publish"].upstream_task_ids == {"check_marts"}


def test_every_writer_of_the_warehouse_takes_a_slot_and_maintenance_all(dags):
    pools = json.loads((REPOSITORY / "dags" / "pools.json").read_text())
    models = dags["transform_warehouse"].tasks
    writers = {task.pool: task.pool_slots for task in models if "warehouse." in task.task_id}

    assert writers == {"warehouse": 1}
    for task_id in ("optimize", "vacuum"):
        maintaining = dags["maintain_warehouse"].get_task(task_id).partial_kwargs
        assert maintaining["pool"] == "warehouse"
        assert maintaining["pool_slots"] == pools["warehouse"]["slots"]
    for dag_id in ("transform_warehouse", "maintain_warehouse"):
        publish = dags[dag_id].get_task("publish")
        assert (publish.pool, publish.pool_slots) == ("warehouse", pools["warehouse"]["slots"])


def test_a_models_task_knows_its_runs_parameters_without_a_copy_of_them(dags):
    from airflow.sdk.definitions.param import process_params

    dag = dags["transform_warehouse"]
    model = operator_of(dags, "fct_sessions")

    params = process_params(dag, model, {"models": "dim_users"}, suppress_exception=False)

    assert not model.params, "four copies in each task: a fifth of what reading the file takes"
    assert params == {"models": "dim_users", "full_refresh": False}


def test_every_dag_has_a_deadline(dags):
    without = {dag.dag_id for dag in dags.values() if not dag.deadline}

    assert not without - {"deliver_alerts"}, "say after how long somebody should look"


def test_no_deadline_keeps_people_from_clearing_a_red_task(dags):
    # With a deadline from queued_at, Airflow 3.3 fails to clear (apache/airflow#70368).
    references = {
        alert.reference.reference_name for dag in dags.values() for alert in dag.deadline or []
    }

    assert references
    assert "DagRunQueuedAtDeadline" not in references


def test_a_project_that_was_changed_since_is_not_taken_from_memory(dags, tmp_path, monkeypatch):
    from _parsed_project import _files, dbt

    # Cosmos keeps one runner per process, but none under pytest.
    runner = SimpleNamespace()
    monkeypatch.setattr("cosmos.dbt.runner.get_runner", lambda: runner)

    def project(name: str, text: str) -> Path:
        model = tmp_path / name / "models" / "one.sql"
        model.parent.mkdir(parents=True, exist_ok=True)
        model.write_text(text)
        return tmp_path / name

    runner.parsed = ("the parsed project", _files(project("one", "select 1")))

    assert dbt(tmp_path / "one").manifest == "the parsed project"
    # A run from Git has the same files in a folder of its own.
    assert dbt(project("checkout", "select 1")).manifest == "the parsed project"
    assert dbt(project("other", "select 2")).manifest is None
    assert dbt(tmp_path / "one" / "models").manifest is None
    project("one", "select 2")
    assert dbt(tmp_path / "one").manifest is None
    del runner.parsed
    assert dbt(tmp_path / "checkout").manifest is None


FORKED = """
import os, sys
from pathlib import Path

sys.path.insert(0, "laptop/preload")
folder = Path(sys.argv[1])
sys.path.append(str(folder))
import inherited_dags
from airflow.dag_processing import dagbag

inherited_dags.read(folder)


def task_of_a_fork():
    read, write = os.pipe()
    if not (pid := os.fork()):
        words = dict(bundle_path=folder, bundle_name="dags-folder")
        bag = dagbag.BundleDagBag(dag_folder=str(folder / "one.py"), safe_mode=False, **words)
        names = [task for dag in bag.dags.values() for task in dag.task_dict]
        who = "own" if bag.dags["one"].get_task(names[0]).doc == str(os.getpid()) else "inherited"
        os.write(write, f"{names[0]} {who}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(read, 1000).decode()


# Flushed: a fork would inherit what is not written yet, and may write it, too.
print(task_of_a_fork(), flush=True)
for file, old, new in (("_names.py", "first", "second"), ("one.py", "'one', s", "'one',  s")):
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace(old, new))
    print(task_of_a_fork(), flush=True)
    (folder / file).write_text(text)
"""


def test_a_task_takes_a_dag_that_was_read_before_the_fork_unless_a_file_of_it_changed(tmp_path):
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "_names.py").write_text("NAME = 'first'\n")
    (folder / "one.py").write_text(
        "import os\nfrom airflow.sdk import DAG\n"
        "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        "from _names import NAME\n"
        "with DAG('one', schedule=None):\n    EmptyOperator(task_id=NAME, doc=str(os.getpid()))\n"
    )
    env = os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    env["PYTHONPATH"] = str(REPOSITORY)

    done = subprocess.run(
        [sys.executable, "-c", FORKED, folder],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.endswith(("own", "inherited"))]
    assert said == ["first inherited", "second own", "first own"]


def test_a_task_for_which_dbt_found_nothing_to_do_is_red(dags, tmp_path, monkeypatch):
    from _dbt_results import store_run_results

    lake = MemoryLake()
    monkeypatch.setattr("ingestion.lake.Lake", lake)
    monkeypatch.setattr("ingestion.Settings.from_env", lambda: None)
    (tmp_path / "target").mkdir()
    file = tmp_path / "target" / "run_results.json"
    context = {"ti": SimpleNamespace(task_id="warehouse.some_test")}

    file.write_text('{"results": [{"status": "pass"}]}')
    store_run_results(str(tmp_path), context)
    file.write_text('{"results": []}')
    with pytest.raises(AirflowFailException, match="nothing to do"):
        store_run_results(str(tmp_path), context)

    assert lake.objects["dbt_runs/latest/warehouse.some_test.json"] == b'{"results": []}'


def test_watching_has_a_task_for_every_model_too(dags, manifest):
    nodes = manifest["nodes"]
    from airflow.sdk import DAG

    from _warehouse import warehouse

    with DAG("watched", schedule=None) as watched:
        warehouse("watcher")

    names = {
        task.extra_context["dbt_node_config"]["resource_name"]
        for task in watched.tasks
        if getattr(task, "extra_context", {}).get("dbt_node_config")
    }
    models = {
        node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"
    }
    assert models <= names
    # Asleep in the triggerer, a sensor is green if the producer never came to its model.
    sensors = [task for task in watched.tasks if hasattr(task, "deferrable")]
    assert len(sensors) > len(models)
    assert not any(task.deferrable for task in sensors)
    # It waits for all tests that it expects, so it may expect none that is left out.
    expected = watched.get_task("warehouse.dbt_producer_watcher").tests_per_model
    tags = {tag for tests in expected.values() for test in tests for tag in nodes[test]["tags"]}
    assert sum(map(len, expected.values())) > len(models)
    assert "nightly" not in tags
