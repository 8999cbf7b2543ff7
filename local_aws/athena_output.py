"""Where the result of a query goes: files at its output location, or storage of Athena's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from local_aws.athena_results import CACHED_CELLS, Results
from local_aws.engine.duck import Run
from local_aws.engine.execute import Outcome
from local_aws.engine.results import Row, csv_lines
from local_aws.glue import Json
from local_aws.store import BucketExists, Store

MANAGED_BUCKET = "~results"
"""Results that Athena manages; no bucket of a client can have this name."""

MANAGED_HOURS = 24
"""How long Athena keeps them."""

_WRITERS = ("CREATE_TABLE_AS_SELECT", "INSERT", "UNLOAD")


class Output:
    """Writes results, and hands their rows on for paging."""

    def __init__(self, store: Store, results: Results) -> None:
        self._store, self._results = store, results
        with contextlib.suppress(BucketExists):
            store.create_bucket(MANAGED_BUCKET)
        limit = datetime.now(UTC) - timedelta(hours=MANAGED_HOURS)
        for info in store.list(MANAGED_BUCKET):
            if info.last_modified < limit:
                store.delete(info.bucket, info.key)

    def save(self, body: Json, outcome: Outcome, run: Run) -> None:
        """Write what the statement gave; ``body`` then says where, and of how many rows."""
        query_id, kind = body["QueryExecutionId"], body["SubstatementType"]
        body["_Columns"], body["_UpdateCount"] = outcome.columns, outcome.update_count
        folder = folder_of(body)
        base = f"{folder}tables/{query_id}" if kind == _WRITERS[0] else f"{folder}{query_id}"
        if run.written is not None and kind in _WRITERS and not is_managed(body):
            body["_Manifest"] = f"{base}-manifest.csv"
            listed = "".join(f"{uri}\n" for uri in run.written)
            self._put(body["_Manifest"], listed.encode(), "text/csv")
        if kind == "CREATE_TABLE_AS_SELECT":
            _place(body, base)
            self._results.keep(query_id, [])
        elif outcome.lines is not None:
            _place(body, f"{base}.txt")
            text = "\n".join(outcome.lines) + ("\n" if outcome.lines else "")
            self._put(body["_Output"], text.encode(), "text/plain")
            self._describe(body)
            self._results.keep(query_id, [[line] for line in outcome.lines])
        else:
            _place(body, f"{base}.csv")
            rows = self._write(body, outcome, run)
            self._describe(body)
            if rows or not outcome.rows:
                self._results.keep(query_id, rows)

    def _write(self, body: Json, outcome: Outcome, run: Run) -> list[Row]:
        """The rows as CSV; those that fit into memory come back."""
        rows: list[Row] = []
        cells = count = 0

        def kept() -> Iterator[Row]:
            nonlocal cells, count
            for row in outcome.rows or ():
                count += 1
                cells += len(row)
                if cells <= CACHED_CELLS:
                    rows.append(row)
                yield row

        blob = run.new_blob(self._store)
        with blob.open("w", encoding="utf-8", newline="") as file:
            file.writelines(csv_lines([column["Name"] for column in outcome.columns], kept()))
        size = blob.stat().st_size
        bucket, key = Store.parse_uri(body["_Output"])
        self._store.put(bucket, key, blob, content_type="application/octet-stream")
        body["_Rows"] = {"OutputRows": count, "OutputBytes": size}
        return rows if cells <= CACHED_CELLS else []

    def _describe(self, body: Json) -> None:
        described = json.dumps({"columns": body["_Columns"]}).encode()
        self._put(body["_Output"] + ".metadata", described, "application/octet-stream")

    def _put(self, uri: str, data: bytes, content_type: str) -> None:
        bucket, key = Store.parse_uri(uri)
        self._store.put(bucket, key, data, content_type=content_type)


def is_managed(body: Json) -> bool:
    """Whether Athena keeps the result itself."""
    return bool((body.get("ManagedQueryResultsConfiguration") or {}).get("Enabled"))


def folder_of(body: Json) -> str:
    """Where the files of an execution go, with its slash."""
    if is_managed(body):
        return f"s3://{MANAGED_BUCKET}/"
    return str(body["ResultConfiguration"]["OutputLocation"])


def _place(body: Json, uri: str) -> None:
    body["_Output"] = uri
    if not is_managed(body):
        body["ResultConfiguration"]["OutputLocation"] = uri
