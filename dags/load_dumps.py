"""
### Load dumps

Loads history: files of the same encrypted envelopes that the API sends. Started by hand, with
the folder or file to load. Records that are already there are counted as duplicates, so loading
a dump twice, or over days that the API already delivered, changes nothing.

| | |
| --- | --- |
| **Impact** | tier 2: nothing waits for it; the metrics of the loaded days are recomputed |
| **If `land` fails** | the message names the file that cannot be read; the readable ones are \
landed. Replace it and start the DAG again with the same `uri` |
| **If `check` fails** | nothing of this load is visible. Read the named expectations in the data \
docs, fix the cause, then clear `check` |
| **If `publish` fails** | clear it: it copies the same files to the same names |
"""

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from _batches import check, publish
from _defaults import DEFAULT_ARGS, fail_at_once_unless_retryable


@dag(
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    params={
        "uri": Param(
            "s3://daylight-source/dumps/",
            type="string",
            minLength=1,
            description="A dump, or a folder of dumps: s3://bucket/prefix/ or a local path.",
        )
    },
    tags=["ingest"],
)
def load_dumps() -> None:
    """Land, check and publish every dump under one address."""

    @task
    @fail_at_once_unless_retryable
    def land(uri: str) -> list[str]:
        import ingestion

        manifests = ingestion.land_dumps(ingestion.Settings.from_env(), uri)
        if not manifests:
            raise AirflowSkipException("Every record of these dumps is already in the lake.")
        return manifests

    publish(check(land("{{ params.uri }}")))


load_dumps()
