"""
### Backfill access logs

Loads the dump of one day. A range of days is a backfill of this DAG: *Trigger → Backfill* in the
UI, or `airflow backfill create --dag-id backfill_access_logs --from-date 2026-02-21 --to-date \
2026-02-25 --max-active-runs 2`. Every day takes the same road as a live batch, so live runs and the
backfill may go on side by side, in any order and more than once: what is there already is counted
as a duplicate. By its own schedule it looks each morning for the dump of the day before.

| | |
| --- | --- |
| **Impact** | tier 2: nothing waits for it; the metrics of the loaded days are recomputed |
| **If `land` fails** | the message names the dump that is missing or damaged; put it there and \
clear the task. The other days go on. To resume a whole backfill, start it again with *Reprocess \
failed* (`--reprocess-behavior failed`): days that are done are left alone |
| **If `check` fails** | nothing of this day is visible. Read the named expectations in the data \
docs, fix the cause, then clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
"""

from airflow.sdk import CronDataIntervalTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import LAST, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    # After the source has closed its day; the interval is the day that is loaded.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="Asia/Seoul"),
    catchup=False,
    max_active_runs=1,  # a backfill has a cap of its own
    default_args=LAST,
    doc_md=__doc__,
    deadline=deadline_of(hours=6),
    params={
        "uri": Param(
            "s3://daylight-source/dumps/access_logs-{day}.ndjson.gz",
            type="string",
            pattern=r"\{day\}",
            description="Where a day's dump is, or its folder; {day} stands for 2026-01-31.",
        )
    },
    tags=["ingest"],
    **TELLING,
)
def backfill_access_logs() -> None:
    """Land, check and publish the dump of a day."""

    @task
    @fail_at_once_unless_retryable
    def land(uri: str, start: str, kind: str) -> list[str]:
        from datetime import datetime
        from zoneinfo import ZoneInfo

        import ingestion
        from ingestion import loading

        settings = ingestion.Settings.from_env()
        zone = ZoneInfo(settings.source_time_zone)
        day = datetime.fromisoformat(start).astimezone(zone).date().isoformat()
        uri = uri.replace("{day}", day)
        try:
            loading.groups(settings, uri)
        except ingestion.ConfigError:
            if kind != "scheduled":  # somebody asked for this day
                raise
            raise AirflowSkipException(f"The source has no dump of {day}.") from None
        manifests = ingestion.land_dumps(settings, uri)
        if not manifests:
            raise AirflowSkipException("Every record of this dump is already in the lake.")
        return manifests

    # A run by hand has no interval unless it was given a date.
    start = "{{ (dag_run.data_interval_start or dag_run.run_after).isoformat() }}"
    publish(check(land("{{ params.uri }}", start, "{{ dag_run.run_type }}")))


backfill_access_logs()
