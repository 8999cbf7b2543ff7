"""A commit of a real Git repository becomes a folder that is complete and never changes."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deploy

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS = REPOSITORY / "dags"
OURS = {"alerts", "dashboard", "expectations", "ingestion"}

# As a node does it: a process that knows only Airflow's setting.
NODE = """
import json, sys
from airflow.dag_processing.bundles.manager import DagBundlesManager

said = []
for step in json.load(sys.stdin):
    if step in ("open", "refresh"):
        bundle = bundle if step == "refresh" else DagBundlesManager().get_bundle("daylight")
        try:
            bundle.refresh() if step == "refresh" else bundle.initialize()
            said.append(["", str(bundle.path), bundle.get_current_version().version])
        except RuntimeError as error:
            said.append([str(error), str(bundle.path), bundle.get_current_version().version])
    elif step.startswith("push "):
        import subprocess
        subprocess.run(["git", "push", "-qf", "origin", step[5:] + ":main"], check=True)
    else:
        pinned = DagBundlesManager().get_bundle("daylight", step)
        pinned.initialize()
        said.append(["", str(pinned.path), pinned.get_current_version().version])
print("said", json.dumps(said))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with three commits: 1, 2, and 3, which needs other libraries."""
    folder = tmp_path_factory.mktemp("deploy")
    git(folder, "init", "-q", "-b", "main", "--bare", "origin.git")
    git(folder, "clone", "-q", "origin.git", "work")
    work = folder / "work"
    (work / "dags").mkdir()
    (work / "dbt_project" / "models").mkdir(parents=True)
    (work / ".gitignore").write_text("target/\nlibkernel.so\n")
    for name in ("profiles.yml", "dbt_project.yml"):
        shutil.copy(REPOSITORY / "dbt_project" / name, work / "dbt_project")
    (work / "ingestion").mkdir()
    for number in (1, 2, 3):
        other = "other==1\n" if number == 3 else ""
        lock = (REPOSITORY / "requirements.lock").read_text() + other
        (work / "requirements.lock").write_text(lock)
        kernel = (REPOSITORY / "ingestion" / "kernel.c").read_text()
        (work / "ingestion" / "kernel.c").write_text(kernel + ("// newer\n" if number == 2 else ""))
        (work / "dbt_project" / "models" / "a.sql").write_text(f"select {number} as n")
        (work / "dags" / "one.py").write_text(f"N = {number}\n")
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", str(number))
        git(work, "tag", f"v{number}")
    return work


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "advice.detachedHead=0"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_each_commit_has_a_folder_of_its_own_that_stays_as_it_was(work: Path, tmp_path: Path):
    first, second, third = (git(work, "rev-parse", f"v{number}") for number in (1, 2, 3))
    git(work, "push", "-qf", "origin", "v1:main")
    steps = ["open", f"push {second}", "refresh", first, f"push {third}", "refresh"]
    steps += [f"push {first}", "refresh"]

    opened, newer, pinned, refused, back = at_node(work, tmp_path, steps)

    folders = {
        commit: tmp_path / "bundles/daylight/versions" / commit for commit in (first, second)
    }
    assert opened == ["", str(folders[first] / "dags"), first]
    assert newer == ["", str(folders[second] / "dags"), second]
    assert pinned == back == opened
    assert "needs other libraries" in refused[0]
    assert refused[1:] == newer[1:]  # what was there stays
    for number, (commit, folder) in enumerate(folders.items(), start=1):
        assert (folder / "dags" / "one.py").read_text() == f"N = {number}\n", commit
        manifest = json.loads((folder / "dbt_project" / "target" / "manifest.json").read_text())
        assert manifest["nodes"]["model.daylight.a"]["raw_code"] == f"select {number} as n"
        # Compiled from this commit's source, or not at all.
        has_kernel = (folder / "ingestion" / "libkernel.so").exists()
        assert has_kernel == (number == 1 and (REPOSITORY / "ingestion/libkernel.so").exists())


def at_node(work: Path, folder: Path, steps: list[str]) -> list[list[str]]:
    """Return what each step said: its error, the path and the commit."""
    env = os.environ | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": deploy.bundles(
            str(work.parent / "origin.git"), "main"
        ),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW_CONN_GIT_DEFAULT": "git://",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", NODE],
        cwd=work,
        env=env,
        input=json.dumps(steps),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.rpartition("said ")[2])


def test_a_dag_of_a_checkout_imports_our_packages_from_there(tmp_path: Path):
    checkout, installed = tmp_path / "checkout", tmp_path / "installed"
    for root in (checkout, installed):
        for name in ("dags", *OURS):
            shutil.copytree(REPOSITORY / name, root / name)
    code = f"""
import runpy, sys
sys.path.append({str(checkout / "dags")!r})  # as Airflow does
for name in ("ingest_access_logs", "deliver_alerts"):
    runpy.run_path({str(checkout / "dags")!r} + "/" + name + ".py")
import ingestion, expectations, dashboard, alerts
for module in (ingestion, expectations, dashboard, alerts):
    print(module.__file__)
"""
    env = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(installed)}

    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    too_early = subprocess.run(
        [sys.executable, "-c", "import alerts" + code], env=env, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-2000:]
    places = [Path(line).parent.parent for line in done.stdout.splitlines()[-4:]]
    assert places == [checkout] * 4
    assert "alerts is already imported from" in too_early.stderr


def test_every_dag_file_imports_checkout_before_any_package_of_ours():
    wrong = []
    for path in DAGS.glob("*.py"):
        names = []
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names += [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append((node.module or "").partition(".")[0])
        ours = [at for at, name in enumerate(names) if name in OURS]
        # What tasks import later comes from where _defaults has let the path point by then.
        first = [at for at, name in enumerate(names) if name in ("_checkout", "_defaults")]
        is_dag = not path.name.startswith("_")
        if (ours or is_dag) and not (first and first[0] < min([*ours, len(names)])):
            wrong.append(path.name)

    assert not wrong, f"Add `import _checkout` before the first package of ours in: {wrong}"
