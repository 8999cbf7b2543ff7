"""Imports the heavy libraries once in the scheduler; every task is forked from it and has them.

Airflow imports a module of this name at its start. Without it each of the twenty tasks of a full
cycle spends 2 to 5 seconds of CPU on importing dbt or Great Expectations again, and each model one
half on botocore's descriptions. Nothing depends
on it: a cluster runs without this file.
"""

import importlib
import sys

from laptop import aws_descriptions

__all__: list[str] = []  # else Airflow would take every name here for a setting

HEAVY = (
    "dbt.cli.main",
    "dbt.adapters.athena",
    "great_expectations",
    "pandas",
    "pyarrow.parquet",
    "boto3",
)

if "scheduler" in sys.argv:
    for module in HEAVY:
        importlib.import_module(module)
    aws_descriptions.share("athena", "glue", "s3")
