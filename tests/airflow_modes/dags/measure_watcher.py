"""The project as transform_warehouse builds it with AIRFLOW__DAYLIGHT__DBT_EXECUTION=watcher."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG

from _choosing import PARAMS
from _warehouse import warehouse

with DAG("measure_watcher", schedule=None, params=PARAMS):
    warehouse("watcher")
