"""A branch changes two models: these and what depends on them are built, and nothing is left."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pyathena
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

TABLE = "{{ config(materialized='table') }}\n"
MODELS = {
    "unchanged": "select 1 as n",
    "changed": "select n + 1 as n from {{ ref('unchanged') }}",
    "child": "select n * 2 as n from {{ ref('changed') }}",
    "beside": "select n from {{ ref('unchanged') }}",
    "broken": "select n from {{ ref('unchanged') }}",
}
TEST = """
models:
  - name: child
    columns:
      - name: n
        data_tests: [{accepted_values: {arguments: {values: [202], quote: false}}}]
"""


@pytest.fixture
def branch(tmp_path: Path, local_aws: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose branch `production` is built; two models are changed on top of it."""
    clone = tmp_path / "clone"
    models = clone / "dbt_project" / "models"
    models.mkdir(parents=True)
    shutil.copytree(REPOSITORY / "deploy", clone / "deploy")
    shutil.copytree(REPOSITORY / "dbt_project" / "macros", clone / "dbt_project" / "macros")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(REPOSITORY / "dbt_project" / name, clone / "dbt_project" / name)
    for name, sql in MODELS.items():
        (models / f"{name}.sql").write_text(TABLE + sql)
    (models / "_models.yml").write_text(TEST)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-qb", "main"], ["add", "-A"], ["commit", "-qm", "1"]):
        subprocess.run([*git, *words], cwd=clone, check=True)
    subprocess.run([*git, "branch", "production"], cwd=clone, check=True)
    (models / "changed.sql").write_text(TABLE + "select n + 100 as n from {{ ref('unchanged') }}")
    (models / "broken.sql").write_text(TABLE + "select no_such_column from {{ ref('unchanged') }}")
    for name, value in {
        "LAKE_BUCKET": "changed-models",
        "WAREHOUSE_SCHEMA": "production",
        "ATHENA_POLL_INTERVAL": "0.05",
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="changed-models")
    place = "s3://changed-models/athena-results/"
    with pyathena.connect(s3_staging_dir=place, poll_interval=0.05) as connection:
        # Only what is read from production has to be there.
        connection.cursor().execute("create database production")
        connection.cursor().execute("create table production.unchanged as select 1 as n")
    return clone


def test_only_the_changed_models_are_built_and_their_schema_is_dropped_although_one_fails(
    branch: Path,
):
    command = [sys.executable, "-m", "deploy", "changed-models", "--against", "production"]
    command += ["--schema", "daylight_scratch_7"]

    done = subprocess.run(command, cwd=branch, capture_output=True, text=True)

    said = re.sub(r"\x1b\[\d*m", "", done.stdout)
    assert done.returncode == 1, said + done.stderr  # of the broken model
    started = set(re.findall(r"START sql table model daylight_scratch_7\.(\w+)", said))
    built = set(re.findall(r"OK created sql table model daylight_scratch_7\.(\w+)", said))
    assert started == {"changed", "child", "broken"}
    assert built == {"changed", "child"}
    assert "PASS accepted_values_child_n__False__202" in said  # (1 + 100) * 2: it read production's
    databases = boto3.client("glue").get_databases()["DatabaseList"]
    assert "daylight_scratch_7" not in {database["Name"] for database in databases}
    files = boto3.client("s3").list_objects_v2(Bucket="changed-models", Prefix="warehouse/")
    assert not [file["Key"] for file in files.get("Contents", []) if "scratch" in file["Key"]]
    assert not (branch / ".git" / "worktrees").exists()


def test_no_other_schema_can_be_dropped():
    command = [sys.executable, "-m", "deploy", "drop", "--schema", "production"]

    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == 1
    assert "production is no scratch schema" in done.stderr
