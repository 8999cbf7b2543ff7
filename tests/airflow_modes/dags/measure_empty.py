"""The graph of measure_local, and in each task nothing: what Airflow alone takes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

from _warehouse import warehouse


def nothing() -> None:
    """Do nothing."""


drawn = DAG("drawn", schedule=None, auto_register=False)
with drawn:
    warehouse("local")

with DAG("measure_empty", schedule=None):
    empty = {
        name: PythonOperator(task_id=name.replace(".", "_"), python_callable=nothing)
        for name in drawn.task_dict
    }
    for name, task in drawn.task_dict.items():
        empty[name].set_upstream([empty[before] for before in task.upstream_task_ids])

del drawn  # or Airflow would take it for a DAG of this file
