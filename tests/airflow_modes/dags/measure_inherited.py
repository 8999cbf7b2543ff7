"""As measure_plain, but from the project as the scheduler has parsed it: what our tasks do."""

import sys
from datetime import timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "dags"))

from airflow.sdk import DAG
from cosmos import DbtBuildLocalOperator
from cosmos.constants import InvocationMode

from _parsed_project import DBT_PROJECT, begin_where_parsing_ended
from _warehouse import PROFILE

with DAG("measure_inherited", schedule=None):
    DbtBuildLocalOperator(
        task_id="build",
        project_dir=DBT_PROJECT,
        exclude="tag:nightly",
        profile_config=PROFILE,
        invocation_mode=InvocationMode.DBT_RUNNER,
        install_deps=False,
        interceptors=[begin_where_parsing_ended],
        env={"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"},
        append_env=True,
        execution_timeout=timedelta(minutes=30),
    )
