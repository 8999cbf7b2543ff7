"""The dbt project, parsed once in the process that tasks are forked from, not once in each task.

A dbt task spends most of its time on reading the same project again. Whoever forks tasks may call
`parse`; a task of the same project, unchanged, then begins where parsing ended. A task that was not
forked from there, or finds another file than was parsed, parses for itself: slower, not different.
"""

from pathlib import Path
from typing import Any

DBT_PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"

_parsed: dict[Path, tuple[Any, frozenset[Any]]] = {}


def parse() -> None:
    """Parse the project as the scheduler's target sees it, and keep it for tasks forked later."""
    from dbt.cli.main import dbtRunner

    files = _files(DBT_PROJECT)
    folders = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    manifest: Any = dbtRunner().invoke(["parse", "--quiet", "--target", "prod", *folders]).result
    if manifest is not None:  # a broken project: the tasks will say so, not the scheduler
        # Cosmos has laid the same manifest where dbt would write it: a quarter of a task's time.
        manifest.write = lambda path: None
        _parsed[DBT_PROJECT] = (manifest, files)


def begin_where_parsing_ended(context: Any, operator: Any) -> None:
    """Give dbt the project as it was parsed, if it still is that project (a Cosmos interceptor)."""
    from cosmos.dbt.runner import get_runner

    project = Path(operator.project_dir)
    manifest, files = _parsed.get(project, (None, None))
    # Variables may decide what a node is; the parsed project knows those of the environment only.
    is_the_same = manifest is not None and not operator.vars and files == _files(project)
    get_runner().manifest = manifest if is_the_same else None
    # Nobody listens to its lineage; for it, every task would ask AWS who we are.
    operator.calculate_openlineage_events_completes = lambda *_: False


def _files(project: Path) -> frozenset[Any]:
    """Return what tells a changed project: every file that dbt reads, its size and its time."""
    ours = (path for path in project.rglob("*") if path.suffix in {".sql", ".yml", ".csv", ".py"})
    written = {project / "target", project / "logs"}
    stats = ((path, path.stat()) for path in ours if not written & set(path.parents))
    return frozenset((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
