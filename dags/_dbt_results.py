"""What dbt leaves behind, kept where the site and Airflow's UI can read it."""

import json
import shutil
from pathlib import Path
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException


def store_run_results(project_dir: str, context: dict[str, Any]) -> None:
    """Copy a task's dbt run results into the lake, over the ones of its previous run.

    Cosmos calls it after every dbt task, red or green, with the temporary copy of the project.

    Raises:
        AirflowFailException: if dbt did nothing; it calls that a success.
    """
    from ingestion import Settings
    from ingestion.lake import Lake

    results = Path(project_dir) / "target" / "run_results.json"
    if results.is_file():  # absent when dbt could not even start; the task is red then
        body, task_id = results.read_bytes(), context["ti"].task_id
        lake = Lake(Settings.from_env())
        lake.put(f"dbt_runs/latest/{task_id}.json", body, "application/json")
        if not json.loads(body)["results"]:
            raise AirflowFailException(
                "dbt found nothing to do for this task, so it proves nothing: its model or test is "
                "left out or gone. Look at --select and --exclude in the log above."
            )


def generate_dbt_docs(project_dir: Path, target: Path) -> None:
    """Write the dbt docs as one self-contained page, ``target``/static_index.html.

    Of the tables as readers see them, under the names that readers query.
    """
    from dbt.cli.main import dbtRunner

    arguments = ["docs", "generate", "--static", "--target", "published"]
    folders = ["--project-dir", project_dir, "--profiles-dir", project_dir, "--target-path", target]
    result = dbtRunner().invoke([*arguments, *map(str, folders)])
    if not result.success:
        raise AirflowFailException("dbt docs generate failed; its message is in the log above.")


def show_dbt_docs_in_airflow(target: Path) -> None:
    """Put the docs where Cosmos's plugin serves them from, under Browse in Airflow's UI.

    The folder is Airflow's own setting ``[cosmos] dbt_docs_projects``, because the API server
    reads it, too; without the setting nothing is done.
    """
    for project in json.loads(conf.get("cosmos", "dbt_docs_projects", fallback="{}")).values():
        index = Path(project["dir"]) / project.get("index", "index.html")
        index.parent.mkdir(parents=True, exist_ok=True)
        draft = index.with_suffix(".new")
        shutil.copyfile(target / "static_index.html", draft)
        draft.replace(index)
