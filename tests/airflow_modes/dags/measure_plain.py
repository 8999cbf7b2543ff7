"""A plain `dbt build` as the only task of a DAG: what the other ways are measured by."""

import sys
from datetime import timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG
from cosmos import DbtBuildLocalOperator
from cosmos.constants import InvocationMode

from _parsed_project import DBT_PROJECT
from _warehouse import PROFILE

with DAG("measure_plain", schedule=None):
    DbtBuildLocalOperator(
        task_id="build",
        project_dir=DBT_PROJECT,
        exclude="tag:nightly",
        profile_config=PROFILE,
        invocation_mode=InvocationMode.DBT_RUNNER,
        install_deps=False,
        env={"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"},
        append_env=True,
        execution_timeout=timedelta(minutes=30),
    )
