"""
### Replay quarantine

Takes out of quarantine what can be read now: after a key was added, a decoder was corrected.
Started by hand. What cannot be read yet stays where it is; running it again changes nothing.

| | |
| --- | --- |
| **Impact** | tier 2: the metrics of the replayed days are recomputed |
| **If `replay` fails** | the message says what is wrong with the settings or the keys; nothing \
was changed. `python -m ingestion quarantine` lists what waits, by reason |
| **If `check` fails** | read the named expectations in the data docs, fix it, clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
"""

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import DEFAULT_ARGS, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    deadline=deadline_of(hours=6),
    params={
        "reason": Param(
            "",
            type="string",
            description="Only what was refused for this reason: TOKEN_UNKNOWN_KEY, …; empty: all.",
        )
    },
    tags=["ingest"],
    **TELLING,
)
def replay_quarantine() -> None:
    """Replay, check and publish."""

    @task(task_id="replay")
    @fail_at_once_unless_retryable
    def take_out(reason: str) -> list[str]:
        import ingestion

        manifests = ingestion.replay(ingestion.Settings.from_env(), reason or None)
        if not manifests:
            raise AirflowSkipException("Nothing in quarantine can be read yet.")
        return manifests

    publish(check(take_out("{{ params.reason }}")))


replay_quarantine()
