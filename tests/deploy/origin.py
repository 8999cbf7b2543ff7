"""A bare Git repository with our tree in it, in which one word tells the commits apart."""

import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

DAG = '''"""Runs of one commit."""

import pathlib
import time

from airflow.sdk import DAG, task

from _choosing import PARAMS
from _defaults import DEFAULT_ARGS
from _warehouse import warehouse

WORD = "{word}"
GATES = pathlib.Path({gates})


def said():
    """Say of which commit everything is that this task has imported, and what a model holds."""
    import _defaults
    import alerts
    import dashboard
    import expectations
    import ingestion

    ours = (_defaults, alerts, dashboard, expectations, ingestion)
    return {{module.__name__: module.WORD for module in ours}} | {{"the DAG": WORD}}


with DAG("deployed_in_the_middle", schedule=None, params=PARAMS, max_active_runs=4,
         default_args=DEFAULT_ARGS):

    @task
    def first():
        return said()

    @task
    def wait(run_id):
        while not (GATES / run_id).exists():
            time.sleep(0.2)

    @task(task_id="{task}")
    def say():
        import pyathena
        from ingestion import Settings

        settings = Settings.from_env()
        place = f"s3://{{settings.lake_bucket}}/athena-results/"
        with pyathena.connect(s3_staging_dir=place, poll_interval=0.05) as connection:
            cursor = connection.cursor()
            cursor.execute("select word from daylight.{model}")
            return said() | {{"the model": cursor.fetchone()[0]}}

    first() >> wait() >> warehouse() >> say()
'''


class Origin:
    """What everybody pushes to, and a clone that pushes."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "origin.git"
        self._work = folder / "work"
        self._gates = folder.parent / "gates"
        self._git("init", "-q", "-b", "main", "--bare", self.bare, cwd=REPOSITORY)
        self._git("init", "-q", "-b", "main", self._work, cwd=REPOSITORY)
        for name in self._git("ls-files", "-co", "--exclude-standard", cwd=REPOSITORY).split("\n"):
            if (REPOSITORY / name).is_file():
                (self._work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, self._work / name)

    def push(self, word: str, lock: str | None = None) -> str:
        """Push a commit that is known by ``word``, and return it; ``lock``: other libraries."""
        is_old = word == "old"
        dags, project = self._work / "dags", self._work / "dbt_project"
        for other in dags.glob("[!_]*.py"):
            other.unlink()
        dag = DAG.format(
            word=word,
            gates=repr(str(self._gates)),
            task="say" if is_old else "say_renamed",
            model="b" if is_old else "b_renamed",
        )
        (dags / "deployed_in_the_middle.py").write_text(dag)
        ours = [
            self._work / name / "__init__.py"
            for name in ("alerts", "dashboard", "expectations", "ingestion")
        ]
        for module in (*ours, dags / "_defaults.py"):
            text = module.read_text().partition("\nWORD = ")[0]
            module.write_text(f'{text}\nWORD = "{word}"\n')
        for folder in ("models", "tests", "analyses"):
            shutil.rmtree(project / folder, ignore_errors=True)
        (project / "selectors.yml").unlink(missing_ok=True)
        # Where readers are: nobody publishes here what was built aside.
        profiles = project / "profiles.yml"
        profiles.write_text(profiles.read_text().replace("_build", ""))
        (project / "models").mkdir()
        table = "{{ config(materialized='table') }}"
        (project / "models" / "a.sql").write_text(f"{table}select '{word}' as word")
        model = "b" if is_old else "b_renamed"
        (project / "models" / f"{model}.sql").write_text(
            f"{table}select word from {{{{ ref('a') }}}}"
        )
        (self._work / "requirements.lock").write_text(
            lock or (REPOSITORY / "requirements.lock").read_text()
        )
        self._git("add", "-A")
        who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        self._git(*who, "commit", "-q", "--allow-empty", "-m", word)
        self._git("push", "-q", self.bare, "HEAD:main")
        return self._git("rev-parse", "HEAD")

    def set_back(self, commit: str) -> None:
        """Let the branch point to an earlier commit, as a roll back does."""
        self._git("push", "-q", "--force", self.bare, f"{commit}:main")

    def _git(self, *words: object, cwd: Path | None = None) -> str:
        command = ["git", *map(str, words)]
        done = subprocess.run(
            command, cwd=cwd or self._work, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()
