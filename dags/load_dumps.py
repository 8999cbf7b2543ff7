"""
### Load dumps

Loads history: files of the same encrypted envelopes that the API sends. Started by hand, with
the folder or file to load. Records that are already there are counted as duplicates, so loading
a dump twice, or over days that the API already delivered, changes nothing.

Many files are landed by several workers at once, in groups of about the same size. How many at a
time, Airflow's pools and the workers' concurrency say; each `land` uses all cores of its worker.

| | |
| --- | --- |
| **Impact** | tier 2: nothing waits for it; the metrics of the loaded days are recomputed |
| **If `list_files` fails** | there is no dump at this `uri`: start the DAG again with a right one |
| **If `land` fails** | only that group is not landed, and of it only what the message names: a \
file that cannot be read. Replace the file, then clear this one mapped task; the other groups stay \
as they are, and what follows goes on by itself. To do without the file, mark the task as success: \
everything else is published then |
| **If `gather` fails** | clear it: it stages what a killed worker left behind |
| **If `check` fails** | nothing of this load is visible. Read the named expectations in the data \
docs, fix the cause, then clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
"""

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import LAST, TELLING, deadline_of, fail_at_once_unless_retryable


@dag(
    schedule=None,
    max_active_runs=1,
    default_args=LAST,
    doc_md=__doc__,
    deadline=deadline_of(hours=12),
    params={
        "uri": Param(
            "s3://daylight-source/dumps/",
            type="string",
            minLength=1,
            description="A dump, or a folder of dumps: s3://bucket/prefix/ or a local path.",
        )
    },
    tags=["ingest"],
    **TELLING,
)
def load_dumps() -> None:
    """Land, check and publish every dump under one address."""

    @task
    @fail_at_once_unless_retryable
    def list_files(uri: str) -> list[dict[str, str]]:
        from ingestion import Settings, loading

        return loading.groups(Settings.from_env(), uri)

    @task
    @fail_at_once_unless_retryable
    def land(uri: str, first: str, last: str) -> list[str]:
        from ingestion import Settings, loading

        return loading.land_files(Settings.from_env(), uri, first, last)

    @task
    @fail_at_once_unless_retryable
    def gather() -> list[str]:
        from ingestion import Settings, loading

        manifests = loading.gather(Settings.from_env())
        if not manifests:
            raise AirflowSkipException("Every record of these dumps is already in the lake.")
        return manifests

    uri = "{{ params.uri }}"
    manifests = gather()
    land.partial(uri=uri).expand_kwargs(list_files(uri)) >> manifests
    publish(check(manifests))


load_dumps()
