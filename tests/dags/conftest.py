"""A parsed dbt project and the DAGs that Airflow would find, once for all policy tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DBT = Path(sys.executable).with_name("dbt")


@pytest.fixture(scope="session")
def manifest() -> dict:
    """dbt's own list of nodes; parsing needs no database."""
    command = [DBT, "parse", "--target", "prod", "--project-dir", "dbt_project"]
    command += ["--profiles-dir", "dbt_project"]
    env = os.environ | {"LAKE_BUCKET": "daylight-lake", "DO_NOT_TRACK": "1"}
    subprocess.run(command, cwd=REPOSITORY, env=env, check=True, capture_output=True)
    return json.loads((REPOSITORY / "dbt_project" / "target" / "manifest.json").read_text())


@pytest.fixture(scope="session")
def dags(manifest, tmp_path_factory) -> dict:
    """The DAGs as a fresh process finds them, with neither database nor network."""
    home = tmp_path_factory.mktemp("airflow")
    os.environ["AIRFLOW_HOME"] = str(home)
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] = "False"
    os.environ["AIRFLOW__COSMOS__CACHE_DIR"] = str(home / "cosmos")
    sys.path.insert(0, str(REPOSITORY / "dags"))
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(REPOSITORY / "dags")
    assert not bag.import_errors, bag.import_errors
    return bag.dags
