"""The dbt project, parsed once in the process that tasks are forked from, not once in each task.

A dbt task spends most of its time on reading the same project again. Whoever forks tasks may call
`parse`; a task of the same project, unchanged, then begins where parsing ended. A task that was not
forked from there, or finds another file than was parsed, parses for itself: slower, not different.
"""

from pathlib import Path
from typing import Any

DBT_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"


def parse() -> None:
    """Parse the project as the scheduler's target sees it, and keep it for tasks forked later."""
    from cosmos.dbt.runner import get_runner

    files = _files(DBT_PROJECT)
    folders = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    runner: Any = get_runner()  # Cosmos has one per process: what is kept with it is inherited
    # The static parser may hang in a process forked behind its first use, as Cosmos found.
    words = ["parse", "--quiet", "--no-static-parser", "--target", "prod", *folders]
    manifest = runner.invoke(words).result
    if manifest is not None:  # a broken project: the tasks will say so, not the scheduler
        # Cosmos has laid the same manifest where dbt would write it: a quarter of a task's time.
        manifest.write = lambda path: None
        runner.parsed = (manifest, DBT_PROJECT, files)


def begin_where_parsing_ended(context: Any, operator: Any) -> None:
    """Give dbt the project as it was parsed, if it still is that project (a Cosmos interceptor)."""
    dbt(Path(operator.project_dir))
    # Nobody listens to its lineage; for it, every task would ask AWS who we are.
    operator.calculate_openlineage_events_completes = lambda *_: False


def dbt(project: Path = DBT_PROJECT) -> Any:
    """Return Cosmos's dbt runner, which starts from the parsed project if that is unchanged."""
    from cosmos.dbt.runner import get_runner

    runner: Any = get_runner()
    manifest, *parsed = getattr(runner, "parsed", (None, None, None))
    is_the_same = parsed == [project, _files(project)]
    runner.manifest = manifest if is_the_same else None
    return runner


def _files(project: Path) -> frozenset[Any]:
    """Return what tells a changed project: every file that dbt reads, its size and its time."""
    ours = (path for path in project.rglob("*") if path.suffix in {".sql", ".yml", ".csv", ".py"})
    written = {project / "target", project / "logs"}
    stats = ((path, path.stat()) for path in ours if not written & set(path.parents))
    return frozenset((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
