"""Query executions: queue, run, stop, results, history."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.athena_errors import AthenaApiError, invalid_request
from local_aws.athena_history import History
from local_aws.athena_output import Output, folder_of, is_managed
from local_aws.athena_pages import bounds, next_token
from local_aws.athena_results import Results
from local_aws.athena_workgroups import PRIMARY, WorkGroups
from local_aws.engine import statements as st
from local_aws.engine import tree
from local_aws.engine.duck import Cancelled, Engine, Run
from local_aws.engine.errors import QueryError
from local_aws.engine.execute import Context, Outcome, execute
from local_aws.engine.parse_statement import parse_expression, parse_statement
from local_aws.glue import Catalog, Json
from local_aws.store import Store, StoreError

logger = logging.getLogger(__name__)

WORKERS = 4
"""Queries at once; the rest are QUEUED."""

STOPPED = (
    "INTERNAL_ERROR: the server stopped during this query; what it was to write is there whole or "
    "not at all"
)
"""Why a query failed that was under way when the process was killed."""

CLOSE_SECONDS = 5.0
"""How long a clean stop waits for a query that was told to stop."""


@dataclass(slots=True)
class Live:
    """An execution of this process."""

    body: Json
    token: str | None
    parameters: list[str]
    finished: threading.Event = field(default_factory=threading.Event)
    run: Run | None = None
    stopped: bool = False


class Queries:
    """The executions of one data folder."""

    def __init__(
        self, store: Store, catalog: Catalog, history: History, groups: WorkGroups, *, log_sql: bool
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._history = history
        self._groups = groups
        self._log_sql = log_sql
        self._engine = Engine(store.root)
        self._live: dict[str, Live] = {}
        self._results = Results(store)
        self._output = Output(store, self._results)
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Live | None] = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._serve, name=f"athena-{n}", daemon=True)
            for n in range(WORKERS)
        ]
        for body in history.unfinished():
            _end(body, "FAILED", STOPPED, (1, 200))
            history.save(body, None)
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        """Stop running queries and wait for them."""
        with self._lock:
            live = list(self._live.values())
        for one in live:
            if not one.finished.is_set():
                self._interrupt(one)
        for _ in self._workers:
            self._waiting.put(None)
        for worker in self._workers:
            worker.join(timeout=CLOSE_SECONDS)
        if not any(worker.is_alive() for worker in self._workers):
            self._engine.close()

    # ------------------------------------------------------------------ start

    def start(self, payload: Json) -> Json:
        """StartQueryExecution; the same ClientRequestToken gives the same execution."""
        text = payload["QueryString"]
        if not text or not text.strip() or len(text) > 262_144:
            raise invalid_request("QueryString must have 1 to 262144 characters.")
        token = payload.get("ClientRequestToken")
        with self._lock:
            if token is not None:
                before = self._history.find_token(token)
                if before is not None:
                    if before["Query"] != text:
                        raise invalid_request("Idempotent parameters do not match.")
                    return {"QueryExecutionId": before["QueryExecutionId"]}
            live = self._new(payload, text, token)
            self._history.save(live.body, token)
            self._live[live.body["QueryExecutionId"]] = live
            self._forget_old()
        self._waiting.put(live)
        return {"QueryExecutionId": live.body["QueryExecutionId"]}

    def _new(self, payload: Json, text: str, token: str | None) -> Live:
        name = payload.get("WorkGroup") or PRIMARY
        group = self._groups.find(name)
        if group["State"] != "ENABLED":
            raise invalid_request(f"WorkGroup {name} is disabled.")
        configuration = group["Configuration"]
        managed = configuration.get("ManagedQueryResultsConfiguration") or {}
        context = payload.get("QueryExecutionContext") or {}
        body = {
            "QueryExecutionId": str(uuid.uuid4()),
            "Query": text,
            "StatementType": "DML",
            **(
                {"ManagedQueryResultsConfiguration": managed}
                if managed.get("Enabled")
                else {"ResultConfiguration": {"OutputLocation": _location(payload, configuration)}}
            ),
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": {
                "Catalog": (context.get("Catalog") or "awsdatacatalog").lower(),
                **({"Database": _unquoted(context["Database"])} if context.get("Database") else {}),
            },
            "Status": {"State": "QUEUED", "SubmissionDateTime": round(time.time(), 3)},
            "Statistics": {},
            "WorkGroup": name,
            "EngineVersion": configuration["EngineVersion"],
        }
        parameters = list(payload.get("ExecutionParameters") or [])
        if parameters:
            body["ExecutionParameters"] = parameters
        return Live(body, token, parameters)

    def _forget_old(self) -> None:
        if len(self._live) > 2000:
            for key in [k for k, v in self._live.items() if v.finished.is_set()][:1000]:
                del self._live[key]

    # ------------------------------------------------------------------ work

    def _serve(self) -> None:
        while (live := self._waiting.get()) is not None:
            self._work(live)

    def _work(self, live: Live) -> None:
        began = time.time()
        body = live.body
        run = self._engine.run()
        group = self._groups.find(body["WorkGroup"])
        run.byte_limit = group["Configuration"].get("BytesScannedCutoffPerQuery")
        live.run = run
        end: tuple[Any, ...] = ("SUCCEEDED",)
        try:
            if live.stopped:
                raise Cancelled
            body["Status"] = {**body["Status"], "State": "RUNNING"}
            with self._store.reading():
                self._execute(live, run)
        except Cancelled:
            end = ("CANCELLED", "Query cancelled by user")
        except QueryError as error:
            reason = str(error.locate(body["Query"]))
            end = ("FAILED", reason, (error.category, error.error_type))
        except StoreError as error:
            end = ("FAILED", f"GENERIC_USER_ERROR: {error}", (2, 1001))
        except Exception as error:
            logger.exception("query=%s failed in the server", body["QueryExecutionId"])
            reason = f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
            end = ("FAILED", reason, (1, 200))
        run.close()
        if len(end) > 1:
            end = (end[0], self._as_objects(end[1]), *end[2:])
        # Whoever sees the end sees all of it, and it is on disk and in the log.
        done = {**body, "Statistics": _statistics(body, run, began)}
        _end(done, *end)
        self._history.save(done, live.token)
        self._log(done, run)
        live.body = done
        live.finished.set()
        live.run = None

    def _as_objects(self, reason: str) -> str:
        """Objects by their addresses, where DuckDB and PyArrow name files of ours."""
        root = re.escape(str(self._store.root))
        reason = re.sub(rf"{root}/objects/([^\n'\"]+?)~[0-9a-f]{{16}}", r"s3://\1", reason)
        return reason.replace(f"{self._store.root}/", "")

    def _log(self, body: Json, run: Run) -> None:
        status, statistics = body["Status"], body["Statistics"]
        query = " ".join(body["Query"].split())
        reason = " ".join(status.get("StateChangeReason", "").split())
        logger.info(
            "query=%s state=%s ms=%d scanned=%d reason=%s sql=%s",
            body["QueryExecutionId"], status["State"], statistics["EngineExecutionTimeInMillis"],
            statistics["DataScannedInBytes"], reason,
            query if self._log_sql else query[:160],
        )  # fmt: skip
        if self._log_sql:
            for sql in run.sql:
                logger.info("query=%s duckdb=%s", body["QueryExecutionId"], sql)

    def _execute(self, live: Live, run: Run) -> None:
        body = live.body
        catalog = body["QueryExecutionContext"]["Catalog"]
        if catalog != "awsdatacatalog":
            raise QueryError("CATALOG_NOT_FOUND", f"Catalog '{catalog}' does not exist")
        parameters = [parse_expression(text) for text in live.parameters]
        statement = parse_statement(body["Query"])
        body["StatementType"], body["SubstatementType"] = statement.kind, statement.subkind
        if isinstance(statement, st.Prepare | st.Deallocate):
            self._prepare(body["WorkGroup"], statement)
            self._output.save(body, Outcome(lines=[]), run)
            return
        if isinstance(statement, st.Execute):
            statement, parameters = self._prepared(body["WorkGroup"], statement)
        if isinstance(statement, st.CreateTableAs) and is_managed(body):
            _check_location(statement)
        context = Context(
            self._store, self._catalog, run, datetime.now(UTC),
            body["QueryExecutionContext"].get("Database", ""), parameters,
            f"{folder_of(body)}tables/{body['QueryExecutionId']}",
        )  # fmt: skip
        outcome = execute(statement, context)
        self._output.save(body, outcome, run)

    def _prepare(self, group: str, statement: st.Prepare | st.Deallocate) -> None:
        if isinstance(statement, st.Prepare):
            self._groups.prepare(group, statement.name, statement.text)
        elif not self._groups.deallocate(group, statement.name):
            raise QueryError("NOT_FOUND", f"Prepared statement not found: {statement.name}")

    def _prepared(self, group: str, node: st.Execute) -> tuple[st.Statement, list[tree.Expr]]:
        text = self._groups.statement(group, node.name)
        if text is None:
            raise QueryError("NOT_FOUND", f"Prepared statement not found: {node.name}")
        return parse_statement(text), [parse_expression(value) for value in node.values]

    # ------------------------------------------------------------------ look

    def _find(self, query_id: str) -> Json:
        live = self._live.get(query_id)
        body = live.body if live is not None else self._history.find(query_id)
        if body is None:
            raise invalid_request(f"QueryExecution {query_id} was not found")
        return body

    def get(self, payload: Json) -> Json:
        """GetQueryExecution."""
        return {"QueryExecution": _public(self._find(payload["QueryExecutionId"]))}

    def batch_get(self, payload: Json) -> Json:
        """BatchGetQueryExecution."""
        found, missing = [], []
        for query_id in payload["QueryExecutionIds"]:
            try:
                found.append(_public(self._find(query_id)))
            except AthenaApiError as error:
                missing.append(
                    {"QueryExecutionId": query_id, "ErrorCode": "INVALID_INPUT",
                     "ErrorMessage": error.message}
                )  # fmt: skip
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def stop(self, payload: Json) -> Json:
        """StopQueryExecution."""
        query_id = payload["QueryExecutionId"]
        self._find(query_id)
        live = self._live.get(query_id)
        if live is not None and not live.finished.is_set():
            self._interrupt(live)
        return {}

    def _interrupt(self, live: Live) -> None:
        """Tell a query to stop, again and again: DuckDB forgets an interrupt that comes between
        two statements."""
        live.stopped = True

        def insist() -> None:
            while not live.finished.is_set():
                if (run := live.run) is not None:
                    run.interrupt()
                time.sleep(0.02)

        threading.Thread(target=insist, daemon=True).start()

    def list_ids(self, payload: Json) -> Json:
        """ListQueryExecutions, newest first."""
        group = payload.get("WorkGroup") or PRIMARY
        self._groups.find(group)
        start, size = bounds(payload)
        ids = self._history.ids(group, size + 1, start)
        return {"QueryExecutionIds": ids[:size], **next_token(start + size, len(ids) > size)}

    def runtime_statistics(self, payload: Json) -> Json:
        """GetQueryRuntimeStatistics."""
        body = self._find(payload["QueryExecutionId"])
        statistics = body.get("Statistics") or {}
        timeline = {k: v for k, v in statistics.items() if k.endswith("Millis")}
        rows = {"InputBytes": statistics.get("DataScannedInBytes", 0), **body.get("_Rows", {})}
        return {"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}}

    def results(self, payload: Json) -> Json:
        """GetQueryResults."""
        return self._results.page(self._find(payload["QueryExecutionId"]), payload)


def _location(payload: Json, configuration: Json) -> str:
    """The folder that the work group enforces, else that of the request or of the work group."""
    wanted = (payload.get("ResultConfiguration") or {}).get("OutputLocation")
    of_group = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
    enforced = configuration.get("EnforceWorkGroupConfiguration") and of_group
    location = of_group if enforced else wanted or of_group
    if not location:
        raise invalid_request(
            "No output location provided. An output location is required either through the "
            "Workgroup result configuration setting or as an API input."
        )
    if not location.startswith("s3://"):
        raise invalid_request(f"outputLocation is not a valid S3 path: {location}")
    return str(location).rstrip("/") + "/"


def _check_location(statement: st.CreateTableAs) -> None:
    if not statement.properties.keys() & {"external_location", "location"}:
        raise QueryError(
            "INVALID_TABLE_PROPERTY",
            "A table needs an external_location where the work group has managed query results",
            statement.at,
        )


def _unquoted(database: str) -> str:
    """awswrangler sends the name in backticks."""
    return database.strip("`").lower()


def _statistics(body: Json, run: Run, began: float) -> Json:
    now = time.time()
    submitted = body["Status"]["SubmissionDateTime"]
    return {
        "EngineExecutionTimeInMillis": int((now - began) * 1000),
        "DataScannedInBytes": run.bytes_scanned,
        "TotalExecutionTimeInMillis": int((now - submitted) * 1000),
        "QueryQueueTimeInMillis": max(0, int((began - submitted) * 1000)),
        "ServicePreProcessingTimeInMillis": 0,
        "QueryPlanningTimeInMillis": 0,
        "ServiceProcessingTimeInMillis": 0,
        "ResultReuseInformation": {"ReusedPreviousResult": False},
        **({"DataManifestLocation": body["_Manifest"]} if "_Manifest" in body else {}),
    }


def _end(body: Json, state: str, reason: str = "", error: tuple[int, int] | None = None) -> None:
    status = {**body["Status"], "State": state, "CompletionDateTime": round(time.time(), 3)}
    if reason:
        status["StateChangeReason"] = reason
    if error is not None:
        status["AthenaError"] = {
            "ErrorCategory": error[0],
            "ErrorType": error[1],
            "Retryable": False,
            "ErrorMessage": reason,
        }
    body["Status"] = status


def _public(body: Json) -> Json:
    return {key: value for key, value in body.items() if not key.startswith("_")}
