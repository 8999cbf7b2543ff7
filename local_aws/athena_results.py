"""Results of queries, page by page: from memory while they are fresh, else from their file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice

from local_aws.athena_errors import invalid_request
from local_aws.engine.results import Row, read_csv
from local_aws.glue import Json
from local_aws.store import Store

CACHED_CELLS = 2_000_000
"""Cells of results kept in memory for paging; older ones are read back from their file."""


class Results:
    """The results of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: OrderedDict[str, list[Row]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, query_id: str, rows: list[Row]) -> None:
        """Remember a result for paging, and forget the oldest ones beyond the limit."""
        with self._lock:
            self._rows[query_id] = rows
            total = sum(len(r) * max(1, len(r[0]) if r else 1) for r in self._rows.values())
            while (total > CACHED_CELLS and len(self._rows) > 1) or len(self._rows) > 500:
                _, dropped = self._rows.popitem(last=False)
                total -= len(dropped) * max(1, len(dropped[0]) if dropped else 1)

    def page(self, body: Json, payload: Json) -> Json:
        """GetQueryResults: pages of at most 1000 rows; a query's first row is its header."""
        state = body["Status"]["State"]
        if state != "SUCCEEDED":
            raise invalid_request(
                "Query has not yet finished. Current state: " + state
                if state in ("QUEUED", "RUNNING")
                else f"Query did not finish successfully. Final query state: {state}"
            )
        size, token = int(payload.get("MaxResults") or 1000), payload.get("NextToken") or "0"
        if not 1 <= size <= 1000 or not str(token).isdigit():
            raise invalid_request("MaxResults must be 1 to 1000 and NextToken one that was given.")
        start = int(token)
        header, rows = self._all_rows(body)
        everything = len(header) + len(rows)
        end = min(start + size, everything)
        page = header[start:end] + rows[max(0, start - len(header)) : max(0, end - len(header))]
        result: Json = {
            "UpdateCount": body.get("_UpdateCount", 0),
            "ResultSet": {
                "Rows": [
                    {"Data": [{} if c is None else {"VarCharValue": c} for c in row]}
                    for row in page
                ],
                "ResultSetMetadata": {"ColumnInfo": body.get("_Columns", [])},
            },
        }
        if end < everything:
            result["NextToken"] = str(end)
        return result

    def _all_rows(self, body: Json) -> tuple[list[Row], list[Row]]:
        query_id = body["QueryExecutionId"]
        uri = body.get("_Output") or body["ResultConfiguration"]["OutputLocation"]
        is_table = uri.endswith(".csv")
        header: list[Row] = []
        if is_table and body.get("SubstatementType") in ("SELECT", "EXECUTE", "EXPLAIN"):
            header = [[column["Name"] for column in body["_Columns"]]]
        rows = self._rows.get(query_id)
        if rows is not None:
            return header, rows
        if not is_table and not uri.endswith(".txt"):
            return header, []
        info = self._store.get(*Store.parse_uri(uri))
        if info is None:
            raise invalid_request(f"Could not find results of query {query_id}")
        text = info.path.read_text(encoding="utf-8")
        rows = (
            list(islice(read_csv(text), 1, None))
            if is_table
            else [[line] for line in text.splitlines()]
        )
        self.keep(query_id, rows)
        return header, rows
