"""As measure_local, but each task parses the project for itself: a worker without preload."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG

from _choosing import PARAMS
from _warehouse import warehouse

with DAG("measure_unparsed", schedule=None, params=PARAMS):
    warehouse("local", interceptors=[])
