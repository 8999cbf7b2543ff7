"""As measure_local, but each task starts dbt as a command of its own (LOCAL, SUBPROCESS)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG
from cosmos.constants import InvocationMode

from _choosing import PARAMS
from _warehouse import warehouse

with DAG("measure_subprocess", schedule=None, params=PARAMS):
    warehouse("local", InvocationMode.SUBPROCESS)
