"""As measure_local, but a model's tests are a task behind it (LOCAL, AFTER_EACH)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG
from cosmos.constants import TestBehavior

from _choosing import PARAMS
from _warehouse import warehouse

with DAG("measure_after_each", schedule=None, params=PARAMS):
    warehouse("local", tests=TestBehavior.AFTER_EACH)
