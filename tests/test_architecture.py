"""Who may import whom, as one table; and what must be true of the tree as a whole."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# package: what of ours it may import, and which heavy third-party packages
MAY_IMPORT = {
    "ingestion": (
        {"ingestion"},
        {"pyarrow", "boto3", "botocore", "cryptography", "msgspec", "urllib3"},
    ),
    "expectations": ({"expectations", "ingestion"}, {"great_expectations", "pandas", "pyarrow"}),
    "dashboard": ({"dashboard", "expectations", "ingestion"}, {"pyathena"}),
    "alerts": ({"alerts"}, {"airflow"}),
    "dags": (
        {"ingestion", "expectations", "dashboard", "alerts"}
        | {path.stem for path in (REPOSITORY / "dags").glob("_*.py")},
        {"airflow", "cosmos", "dbt"},
    ),
    "laptop": (
        {"laptop", "safety"},
        {"airflow", "boto3", "botocore", "urllib3", "cryptography"},  # airflow: the preload alone
    ),
    "cluster": ({"cluster", "laptop", "deploy"}, {"boto3"}),
    "deploy": ({"deploy"}, {"airflow"}),
    "safety": ({"safety"}, {"airflow"}),
    "simulator": ({"simulator"}, {"cryptography"}),
    "local_aws": (
        {"local_aws"},
        {"duckdb", "pyiceberg", "pyarrow", "starlette", "uvicorn"},
    ),
}

# module of ours: the only ones that may use this package
ONLY_USERS = {
    "boto3": {
        "cluster/run.py",
        "ingestion/marts.py",
        "ingestion/lake.py",
        "ingestion/query_costs.py",
        "ingestion/secret_store.py",
        "laptop/aws_descriptions.py",
        "laptop/world.py",
    },
    "cryptography": {
        "ingestion/keys.py",
        "laptop/secret_files.py",
        "laptop/cluster_env.py",
        "simulator/tokens.py",
    },
}


def sources(package: str) -> list[Path]:
    return [
        path
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if not {".venv", "tests"} & set(path.relative_to(REPOSITORY).parts)
    ]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_what_its_row_allows(package):
    ours, theirs = MAY_IMPORT[package]
    everything_of_ours = set(MAY_IMPORT) | {"tests", "benchmarks"}
    everything_of_theirs = set().union(*(row[1] for row in MAY_IMPORT.values()))

    wrong = {
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if (name in everything_of_ours - ours) or (name in everything_of_theirs - theirs)
    }

    assert sources(package), f"{package} has no source file: is the table above still true?"
    assert not wrong, f"Move the code to where the table allows it, or change the table: {wrong}"


@pytest.mark.parametrize("third_party", ONLY_USERS)
def test_third_party_package_has_its_one_user(third_party):
    packages = [package for package in MAY_IMPORT if package != "local_aws"]

    users = {
        path.relative_to(REPOSITORY).as_posix()
        for package in packages
        for path in sources(package)
        if third_party in imports(path)
    }

    extra = users - ONLY_USERS[third_party]
    assert not extra, f"Use {third_party} through {ONLY_USERS[third_party]}, not in {extra}"


def test_no_dag_file_imports_another_dag_file():
    dag_files = {path.stem for path in (REPOSITORY / "dags").glob("[!_]*.py")}

    wrong = {path.name: imports(path) & dag_files for path in sources("dags")}

    assert not any(wrong.values()), f"It would define the DAG twice; share through _files: {wrong}"


def test_dbt_project_is_no_package_and_no_dag_file_looks_like_a_dbt_plugin():
    assert not list((REPOSITORY / "dbt_project").rglob("__init__.py")), "dbt would import it"
    assert not list((REPOSITORY / "dags").glob("dbt_*.py")), "dbt imports dbt_* modules as plugins"


def test_the_locks_have_hashes_and_name_no_index():
    for lock in ("requirements.lock", "local_aws/requirements.lock"):
        text = (REPOSITORY / lock).read_text()
        pins = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE)

        blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

        assert len(pins) > 20
        assert all("--hash=sha256:" in block for block in blocks), f"{lock}: run `make lock`"
        assert "://" not in text, f"{lock} names an address; it must work behind any mirror"


def test_every_runtime_dependency_is_in_the_lock_at_its_pin():
    lock = (REPOSITORY / "requirements.lock").read_text()
    project = (REPOSITORY / "pyproject.toml").read_text()

    pins = re.findall(r'^    "([a-z0-9-]+)(?:\[[a-z]+\])?==([0-9.]+)"', project, re.MULTILINE)

    assert len(pins) >= 8
    for name, version in pins:
        assert f"\n{name}=={version}" in lock, f"{name} {version}: run `make lock`"


def test_the_tree_in_the_readme_is_the_tree():
    readme = (REPOSITORY / "README.md").read_text()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    top = {name.split("/")[0] for name in tracked} - {".gitignore"}

    missing = {name for name in top if f"\n{name}" not in readme}

    assert not missing, f"Add a line to the tree in README.md for {missing}"


def test_modules_stay_small_enough_to_read():
    long = {
        str(path.relative_to(REPOSITORY)): count
        for package in MAY_IMPORT
        for path in sources(package)
        if (count := len(path.read_text().splitlines())) > 420
    }

    assert not long, f"One idea each: split {long}"
