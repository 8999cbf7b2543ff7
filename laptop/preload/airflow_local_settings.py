"""Imports the heavy libraries once in the scheduler; every task is forked from it and has them.

Airflow imports a module of this name at its start. Without it each task of a full cycle spends 2 to
5 seconds of CPU on importing dbt or Great Expectations again, each model one half on botocore's
descriptions, a tenth on reading the DAG's file and two on parsing the dbt project. Nothing depends
on it: a worker that has none of this does the same work, slower.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

from airflow.configuration import conf

from laptop import aws_descriptions
from safety import mysql, open_mode

__all__: list[str] = []  # else Airflow would take every name here for a setting

# As in safety/at_start: Airflow imports one module of this name.
open_mode.refuse()
mysql.mend()

DAGS = Path(__file__).resolve().parent.parent.parent / "dags"
HEAVY = (
    "dbt.cli.main",
    "dbt.task.build",
    "dbt.adapters.athena",
    "great_expectations",
    "pandas",
    "pyarrow.parquet",
    "boto3",
    # What a task's first seconds go into: Airflow's own half, Cosmos, and the plugins of both.
    "airflow.sdk.execution_time.task_runner",
    "cosmos.converter",
    "cosmos.operators.local",
    "cosmos.plugin.airflow3",
    "openlineage.common.provider.dbt.local",
)

if "dag-processor" in sys.argv:  # it forks a process for each reading of a file
    importlib.import_module("cosmos.converter")
    importlib.import_module("cosmos.operators.local")

IS_LOCAL = conf.get("core", "executor") == "LocalExecutor"

if "worker" in sys.argv or ("scheduler" in sys.argv and IS_LOCAL):  # tasks are forked from it
    for module in HEAVY:
        importlib.import_module(module)
    aws_descriptions.share("athena", "glue", "s3")
    aws_descriptions.share_clients()
    # Else each task searches all modules for the one that a flag of dbt-athena came from.
    flags = importlib.import_module("dbt_common.behavior_flags").BehaviorFlagRendered
    flags._default_source = staticmethod(lambda: "dbt.adapters.athena.impl")
    # Under another name: a task imports its own `_parsed_project`, maybe of another version.
    spec = importlib.util.spec_from_file_location("parsed_for_tasks", DAGS / "_parsed_project.py")
    project = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(project)
    project.parse()
    importlib.import_module("inherited_dags").read(Path(conf.get("core", "dags_folder")))
    importlib.import_module("prompt_ends").notice()
