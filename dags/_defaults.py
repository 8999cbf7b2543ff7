"""What every DAG shares: retries only for what a retry can cure, deadlines, and whom to wake."""

import functools
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from airflow.sdk import AsyncCallback, Context, DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException

import _checkout  # noqa: F401  before what it finds
from alerts import TellFailure, TellLateness, TellSuccess

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def report_failure(context: Context) -> None:
    """Log one line that says what failed and where its runbook is: the DAG's own documentation.

    It names the task and the kind of the error, never the error's text, which is in the task's log
    already. People are told when the run is over, of all its red tasks at once (``TELLING``).
    """
    task = context["ti"]
    logger.error(
        "failed dag=%s task=%s run=%s try=%s error=%s runbook=the DAG's Docs in the Airflow UI",
        task.dag_id,
        task.task_id,
        context["dag_run"].run_id,
        task.try_number,
        type(context.get("exception")).__name__,
    )


DEFAULT_ARGS = {
    "owner": "data-platform",
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=1),
    "on_failure_callback": report_failure,
    # Which workers take it, where there are workers; a build must not keep a poll waiting.
    "queue": "ingest",
}

TRANSFORM_ARGS = DEFAULT_ARGS | {"queue": "transform"}
"""For the DAGs that read and write the warehouse."""

FIRST = DEFAULT_ARGS | {"priority_weight": 1_000, "weight_rule": "absolute"}
"""For live batches: of all tasks that wait for a slot theirs are next, so they wait for the end of
one other task at most. Otherwise a task counts as many as there are behind it: a model sixty."""

LAST = DEFAULT_ARGS | {"priority_weight": 1, "weight_rule": "absolute"}
"""For history: it takes the slots that nobody else wants."""

TELLING: dict[str, Any] = {
    "on_failure_callback": TellFailure(),
    "on_success_callback": TellSuccess(),
}
"""For every DAG: one message per incident, and one when it is over."""


def deadline_of(hours: float) -> DeadlineAlert:
    """Tell people of a run that takes so much longer than the last ten did; it goes on.

    Not ``DAGRUN_QUEUED_AT``: with it Airflow 3.3 answers 500 to whoever clears a red task
    (apache/airflow#70368), and clearing is what every runbook says. The first run has no deadline.
    """
    return DeadlineAlert(
        reference=DeadlineReference.AVERAGE_RUNTIME(max_runs=10, min_runs=1),
        interval=timedelta(hours=hours),
        callback=AsyncCallback(TellLateness),
    )


def fail_at_once_unless_retryable(call: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors that no retry can cure into an immediate failure; let the rest through.

    An unknown exception is a bug or the weather: it keeps its traceback and its retries.
    """

    @functools.wraps(call)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        from ingestion.errors import IngestionError

        try:
            return call(*args, **kwargs)
        except IngestionError as error:
            if error.retryable:
                raise
            raise AirflowFailException(str(error)) from error

    return translated
