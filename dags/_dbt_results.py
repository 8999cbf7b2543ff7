"""What dbt leaves behind, kept where the site can read it."""

from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException


def store_run_results(project_dir: str, context: dict[str, Any]) -> None:
    """Copy a task's dbt run results into the lake, over the ones of its previous run.

    Cosmos calls it after every dbt task, red or green, with the temporary copy of the project.
    """
    from ingestion import Settings
    from ingestion.lake import Lake

    results = Path(project_dir) / "target" / "run_results.json"
    if results.is_file():  # absent when dbt could not even start; the task is red then
        task_id = context["ti"].task_id
        lake = Lake(Settings.from_env())
        lake.put(f"dbt_runs/latest/{task_id}.json", results.read_bytes(), "application/json")


def generate_dbt_docs(project_dir: Path, target: Path) -> None:
    """Write the dbt docs as one self-contained page, ``target``/static_index.html."""
    from dbt.cli.main import dbtRunner

    arguments = ["docs", "generate", "--static", "--target", "prod"]
    folders = ["--project-dir", project_dir, "--profiles-dir", project_dir, "--target-path", target]
    result = dbtRunner().invoke([*arguments, *map(str, folders)])
    if not result.success:
        raise AirflowFailException("dbt docs generate failed; its message is in the log above.")
