"""When a run is news. Pure: an incident and a run in, an incident out.

An incident is one DAG that does not do what it should, from its first red or late run to the run
that makes good what was red. However many tasks and runs are red meanwhile, people are told once;
and once more for each task that was not red before, because that is news.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Incident:
    """What people have been told of one DAG and is not over yet."""

    since: str
    """When it began: an ISO instant in UTC."""

    run_id: str
    """The run with which it began."""

    tasks: tuple[str, ...] = ()
    """Every task that was red in it, oldest first; none if a run was late or ran out of time."""

    failed_runs: int = 0

    is_late: bool = False
    """Whether a run of it missed its deadline."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what ``document`` returned."""
        return cls(**{**document, "tasks": tuple(document["tasks"])})

    def document(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Run:
    """What an ended run says of its tasks."""

    run_id: str
    states: Mapping[str, str]
    """Task → state. Of a mapped task: the worst state of its instances."""

    upstream: Mapping[str, frozenset[str]]
    """Every task that the DAG has now → the tasks that it waits for."""

    @property
    def red(self) -> tuple[str, ...]:
        """The tasks that failed themselves."""
        return tuple(name for name, state in self.states.items() if state == "failed")

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that did not run because another one failed."""
        return tuple(name for name, state in self.states.items() if state == "upstream_failed")

    @property
    def did_nothing(self) -> bool:
        """Whether every task was skipped: a poll that found nothing new."""
        return bool(self.states) and set(self.states.values()) == {"skipped"}

    def makes_good(self, task: str) -> bool:
        """Tell whether a task that was red before is well in this run.

        A task that skipped itself has looked and found nothing to do. One that was skipped because
        of another has not looked at all, so whatever made it red may still be there.
        """
        if task not in self.upstream:  # nobody can run it any more
            return True
        if self.states.get(task) == "skipped":
            return not any(self.states.get(name) == "skipped" for name in self.upstream[task])
        return self.states.get(task) == "success"


def after_failure(known: Incident | None, run: Run, now: str) -> tuple[Incident, bool]:
    """Return the incident with this red run in it, and whether people have to be told."""
    if known is None:
        return Incident(now, run.run_id, run.red, failed_runs=1), True
    new = tuple(task for task in run.red if task not in known.tasks)
    is_first = known.failed_runs == 0  # so far it was late only
    tasks = known.tasks + new
    return replace(known, tasks=tasks, failed_runs=known.failed_runs + 1), bool(new) or is_first


def after_lateness(known: Incident | None, run_id: str, now: str) -> tuple[Incident, bool]:
    """Return the incident with this late run in it, and whether people have to be told."""
    if known is None:
        return Incident(now, run_id, is_late=True), True
    return replace(known, is_late=True), False


def is_over(known: Incident, run: Run) -> bool:
    """Tell whether this green run ends the incident."""
    return all(run.makes_good(task) for task in known.tasks)
