"""What outlives the process, in SQLite: executions, work groups, prepared statements."""

from __future__ import annotations

import json
import time

from local_aws.glue import Json
from local_aws.store import Store

KEPT_SECONDS = 45 * 24 * 3600
"""Athena keeps query history for 45 days."""

_TABLES = """
create table if not exists athena_queries (
    id text primary key, submitted real not null, token text, body text not null
) without rowid;
create index if not exists athena_queries_submitted on athena_queries (submitted);
create index if not exists athena_queries_token on athena_queries (token);
create table if not exists athena_work_groups (
    name text primary key, body text not null
) without rowid;
create table if not exists athena_prepared (
    work_group text not null, name text not null, body text not null,
    primary key (work_group, name)
) without rowid;
"""


class History:
    """Rows of JSON in three tables."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.write() as db:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    db.execute(statement)
            db.execute(
                "delete from athena_queries where submitted < ?", (time.time() - KEPT_SECONDS,)
            )

    # ------------------------------------------------------------------ executions

    def save(self, body: Json, token: str | None) -> None:
        """Insert or replace an execution."""
        with self._store.write() as db:
            db.execute(
                "insert into athena_queries values (?, ?, ?, ?)"
                " on conflict (id) do update set body = excluded.body",
                (body["QueryExecutionId"], body["Status"]["SubmissionDateTime"], token,
                 json.dumps(body)),
            )  # fmt: skip

    def find(self, query_id: str) -> Json | None:
        """An execution by its id."""
        rows = self._store.read("select body from athena_queries where id = ?", (query_id,))
        return dict(json.loads(rows[0][0])) if rows else None

    def find_token(self, token: str) -> Json | None:
        """An execution by its ClientRequestToken."""
        rows = self._store.read("select body from athena_queries where token = ?", (token,))
        return dict(json.loads(rows[0][0])) if rows else None

    def unfinished(self) -> list[Json]:
        """Executions that were under way when the process ended."""
        rows = self._store.read(
            'select body from athena_queries where body like \'%"State": "RUNNING"%\''
            ' or body like \'%"State": "QUEUED"%\''
        )
        found = [dict(json.loads(body)) for (body,) in rows]
        return [b for b in found if b["Status"]["State"] in ("RUNNING", "QUEUED")]

    def ids(self, work_group: str, limit: int, offset: int) -> list[str]:
        """Ids of a work group, newest first."""
        rows = self._store.read(
            "select id from athena_queries where json_extract(body, '$.WorkGroup') = ?"
            " order by submitted desc, id limit ? offset ?",
            (work_group, limit, offset),
        )
        return [row[0] for row in rows]

    # ------------------------------------------------------------------ work groups

    def work_groups(self) -> dict[str, Json]:
        """All work groups by name."""
        rows = self._store.read("select name, body from athena_work_groups order by name")
        return {name: json.loads(body) for name, body in rows}

    def save_work_group(self, name: str, body: Json) -> None:
        """Insert or replace a work group."""
        with self._store.write() as db:
            db.execute(
                "insert or replace into athena_work_groups values (?, ?)", (name, json.dumps(body))
            )

    def delete_work_group(self, name: str) -> None:
        """Forget a work group and its prepared statements."""
        with self._store.write() as db:
            db.execute("delete from athena_work_groups where name = ?", (name,))
            db.execute("delete from athena_prepared where work_group = ?", (name,))

    # ------------------------------------------------------------------ prepared statements

    def prepared(self, work_group: str) -> dict[str, Json]:
        """A work group's prepared statements by name."""
        rows = self._store.read(
            "select name, body from athena_prepared where work_group = ? order by name",
            (work_group,),
        )
        return {name: json.loads(body) for name, body in rows}

    def save_prepared(self, work_group: str, name: str, body: Json) -> None:
        """Insert or replace a prepared statement."""
        with self._store.write() as db:
            db.execute(
                "insert or replace into athena_prepared values (?, ?, ?)",
                (work_group, name, json.dumps(body)),
            )

    def delete_prepared(self, work_group: str, name: str) -> None:
        """Forget a prepared statement."""
        with self._store.write() as db:
            db.execute(
                "delete from athena_prepared where work_group = ? and name = ?", (work_group, name)
            )
