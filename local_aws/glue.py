"""The Glue Data Catalog: databases, tables with versions, partitions; kept in the Store's SQLite.

``Catalog`` is used twice: in-process by the Athena engine, and by real clients through
``glue_api.GlueApi``. All dictionaries are Glue's own JSON (``Name``, ``StorageDescriptor``,
``Parameters``, ...); times are epoch seconds, as in Glue's JSON protocol. Names are folded to
lower case, as Glue does. What a method returns is the caller's own copy.

    GlueError, with ``code`` being Glue's own:
    ├── EntityNotFoundException           there is no such database, table, version or partition
    ├── AlreadyExistsException            there is one already
    ├── ConcurrentModificationException   the table moved on since ``version_id`` was read
    └── InvalidInputException             the request makes no sense
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from local_aws.store import Store

Json = dict[str, Any]

ACCOUNT_ID = "123456789012"
"""The one account there is; STS and Glue's CatalogId say the same."""

_TABLE_INPUT = (
    "Description",
    "Owner",
    "LastAccessTime",
    "LastAnalyzedTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
    "TargetTable",
)


class GlueError(Exception):
    """An answer that Glue itself would give; ``code`` is the exception's name in the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def not_found(message: str) -> GlueError:
    """EntityNotFoundException."""
    return GlueError("EntityNotFoundException", message)


def already_exists(message: str) -> GlueError:
    """AlreadyExistsException."""
    return GlueError("AlreadyExistsException", message)


def invalid(message: str) -> GlueError:
    """InvalidInputException."""
    return GlueError("InvalidInputException", message)


class Catalog:
    """The catalogue of one Store. Thread-safe; joins the transaction of ``store.write()``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # ---------------------------------------------------------------- databases

    def create_database(self, database_input: Mapping[str, Any]) -> None:
        """Create a database from a DatabaseInput; raises AlreadyExistsException."""
        name = _name(database_input, "DatabaseInput")
        body = {**database_input, "Name": name, "CreateTime": _now(), "CatalogId": ACCOUNT_ID}
        with self._store.write() as db:
            if self.get_database(name) is not None:
                raise already_exists("Database already exists.")
            db.execute("insert into glue_databases values (?, ?)", (name, json.dumps(body)))

    def get_database(self, name: str) -> Json | None:
        """The Database, or None."""
        rows = self._store.read("select body from glue_databases where name = ?", (name.lower(),))
        return _load(rows[0][0]) if rows else None

    def databases(self) -> list[Json]:
        """All databases, by name."""
        rows = self._store.read("select body from glue_databases order by name")
        return [_load(body) for (body,) in rows]

    def update_database(self, name: str, database_input: Mapping[str, Any]) -> None:
        """Replace a database's description, location and parameters."""
        with self._store.write() as db:
            current = self._require_database(name)
            body = {
                **database_input,
                "Name": current["Name"],
                "CreateTime": current["CreateTime"],
                "CatalogId": ACCOUNT_ID,
            }
            db.execute(
                "update glue_databases set body = ? where name = ?",
                (json.dumps(body), current["Name"]),
            )

    def delete_database(self, name: str) -> None:
        """Delete a database with its tables (Glue cascades); the objects in S3 stay."""
        with self._store.write() as db:
            database = self._require_database(name)["Name"]
            for table in ("glue_tables", "glue_table_versions", "glue_partitions"):
                db.execute(f"delete from {table} where db = ?", (database,))
            db.execute("delete from glue_databases where name = ?", (database,))

    # ---------------------------------------------------------------- tables

    def create_table(self, db: str, table_input: Mapping[str, Any]) -> Json:
        """Create a table from a TableInput and return the Table (VersionId "0").

        Raises EntityNotFoundException (database), AlreadyExistsException.
        """
        name = _name(table_input, "TableInput")
        with self._store.write() as sql:
            database = self._require_database(db)["Name"]
            if self.get_table(database, name) is not None:
                raise already_exists("Table already exists.")
            now = _now()
            body = _table(database, name, table_input, version=0, created=now, updated=now)
            sql.execute(
                "insert into glue_tables values (?, ?, 0, ?)", (database, name, json.dumps(body))
            )
        return body

    def get_table(self, db: str, name: str) -> Json | None:
        """The Table, with DatabaseName and VersionId; None if it or its database is not there."""
        rows = self._store.read(
            "select body from glue_tables where db = ? and name = ?", (db.lower(), name.lower())
        )
        return _load(rows[0][0]) if rows else None

    def tables(self, db: str) -> list[Json]:
        """All tables of a database, by name; raises EntityNotFoundException."""
        database = self._require_database(db)["Name"]
        rows = self._store.read(
            "select body from glue_tables where db = ? order by name", (database,)
        )
        return [_load(body) for (body,) in rows]

    def update_table(
        self,
        db: str,
        table_input: Mapping[str, Any],
        *,
        version_id: str | None = None,
        skip_archive: bool = False,
    ) -> Json:
        """Replace the table's definition and return the new Table; its VersionId goes up by one.

        With ``version_id`` only if that is still the present version: of many who read the same
        version exactly one succeeds. The former definition is kept unless ``skip_archive``.

        Raises EntityNotFoundException, ConcurrentModificationException.
        """
        name = _name(table_input, "TableInput")
        with self._store.write() as sql:
            current = self.require_table(db, name)
            database, version = current["DatabaseName"], int(current["VersionId"])
            if version_id is not None and version_id != current["VersionId"]:
                raise GlueError(
                    "ConcurrentModificationException",
                    f"Update table failed due to concurrent modifications: {database}.{name} has "
                    f"version {version}, the request names {version_id}.",
                )
            body = _table(
                database,
                name,
                table_input,
                version=version + 1,
                created=current["CreateTime"],
                updated=_now(),
            )
            if not skip_archive:
                sql.execute(
                    "insert or replace into glue_table_versions values (?, ?, ?, ?)",
                    (database, name, version, json.dumps(current)),
                )
            sql.execute(
                "update glue_tables set version = ?, body = ? where db = ? and name = ?",
                (version + 1, json.dumps(body), database, name),
            )
        return body

    def delete_table(self, db: str, name: str) -> None:
        """Delete a table with its versions and partitions; the objects in S3 stay."""
        with self._store.write() as sql:
            table = self.require_table(db, name)
            for place in ("glue_tables", "glue_table_versions", "glue_partitions"):
                sql.execute(
                    f"delete from {place} where db = ? and name = ?",
                    (table["DatabaseName"], table["Name"]),
                )

    def table_versions(self, db: str, name: str) -> list[Json]:
        """The Table as of each kept version, newest (the present one) first."""
        table = self.require_table(db, name)
        rows = self._store.read(
            "select body from glue_table_versions where db = ? and name = ? order by version desc",
            (table["DatabaseName"], table["Name"]),
        )
        return [table, *(_load(body) for (body,) in rows)]

    def delete_table_version(self, db: str, name: str, version_id: str) -> None:
        """Forget a former version; the present one cannot be deleted."""
        with self._store.write() as sql:
            table = self.require_table(db, name)
            if version_id == table["VersionId"]:
                raise invalid("The current version of a table cannot be deleted.")
            gone = sql.execute(
                "delete from glue_table_versions where db = ? and name = ? and version = ?",
                (table["DatabaseName"], table["Name"], version_id),
            )
            if not gone.rowcount:
                raise not_found(f"Version {version_id} of table {table['Name']} not found.")

    # ---------------------------------------------------------------- partitions

    def create_partition(self, db: str, table: str, partition_input: Mapping[str, Any]) -> Json:
        """Add a partition from a PartitionInput (``Values``, ``StorageDescriptor``).

        Raises EntityNotFoundException (table), AlreadyExistsException.
        """
        with self._store.write() as sql:
            owner = self.require_table(db, table)
            now = _now()
            body = _partition(owner, partition_input, created=now)
            if self.get_partition(db, table, body["Values"]) is not None:
                raise already_exists("Partition already exists.")
            sql.execute(
                "insert into glue_partitions values (?, ?, ?, ?)",
                (owner["DatabaseName"], owner["Name"], _part(body["Values"]), json.dumps(body)),
            )
        return body

    def get_partition(self, db: str, table: str, values: Sequence[str]) -> Json | None:
        """The Partition with these values, or None."""
        rows = self._store.read(
            "select body from glue_partitions where db = ? and name = ? and part = ?",
            (db.lower(), table.lower(), _part(values)),
        )
        return _load(rows[0][0]) if rows else None

    def partitions(self, db: str, table: str) -> list[Json]:
        """All partitions of a table, by their values; raises EntityNotFoundException."""
        owner = self.require_table(db, table)
        rows = self._store.read(
            "select body from glue_partitions where db = ? and name = ? order by part",
            (owner["DatabaseName"], owner["Name"]),
        )
        return [_load(body) for (body,) in rows]

    def partition_places(self, db: str, table: str) -> list[tuple[tuple[str, ...], str]]:
        """Values and location of each partition: all that a query wants to know, and quickly."""
        rows = self._store.read(
            "select part, json_extract(body, '$.StorageDescriptor.Location')"
            " from glue_partitions where db = ? and name = ? order by part",
            (db.lower(), table.lower()),
        )
        return [(tuple(json.loads(part)), location or "") for part, location in rows]

    def update_partition(
        self, db: str, table: str, values: Sequence[str], partition_input: Mapping[str, Any]
    ) -> None:
        """Replace the partition with these values, whose values may thereby change."""
        with self._store.write() as sql:
            current = self.get_partition(db, table, values)
            if current is None:
                raise not_found("Cannot find partition.")
            owner = self.require_table(db, table)
            body = _partition(owner, partition_input, created=current["CreationTime"])
            moved = _part(body["Values"]) != _part(values)
            if moved and self.get_partition(db, table, body["Values"]) is not None:
                raise already_exists("Partition already exists.")
            sql.execute(
                "update glue_partitions set part = ?, body = ?"
                " where db = ? and name = ? and part = ?",
                (
                    _part(body["Values"]),
                    json.dumps(body),
                    owner["DatabaseName"],
                    owner["Name"],
                    _part(values),
                ),
            )

    def delete_partition(self, db: str, table: str, values: Sequence[str]) -> None:
        """Forget a partition; the objects in S3 stay. Raises EntityNotFoundException."""
        with self._store.write() as sql:
            owner = self.require_table(db, table)
            gone = sql.execute(
                "delete from glue_partitions where db = ? and name = ? and part = ?",
                (owner["DatabaseName"], owner["Name"], _part(values)),
            )
            if not gone.rowcount:
                raise not_found("Cannot find partition.")

    # ---------------------------------------------------------------- required entries

    def require_table(self, db: str, name: str) -> Json:
        """As ``get_table``, but raises EntityNotFoundException."""
        table = self.get_table(db, name)
        if table is None:
            self._require_database(db)
            raise not_found(f"Entity Not Found: table {db.lower()}.{name.lower()}")
        return table

    def _require_database(self, name: str) -> Json:
        database = self.get_database(name)
        if database is None:
            raise not_found(f"Database {name.lower()} not found.")
        return database


def _name(entry: Mapping[str, Any], kind: str) -> str:
    name = entry.get("Name")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        raise invalid(f"{kind}.Name must have 1 to 255 characters.")
    return name.lower()


def _table(
    db: str, name: str, given: Mapping[str, Any], *, version: int, created: float, updated: float
) -> Json:
    body = {field: given[field] for field in _TABLE_INPUT if given.get(field) is not None}
    return {
        "Retention": 0,
        "PartitionKeys": [],
        **body,
        "Name": name,
        "DatabaseName": db,
        "CreateTime": created,
        "UpdateTime": updated,
        "CreatedBy": f"arn:aws:iam::{ACCOUNT_ID}:root",
        "IsRegisteredWithLakeFormation": False,
        "CatalogId": ACCOUNT_ID,
        "VersionId": str(version),
    }


def _partition(table: Mapping[str, Any], given: Mapping[str, Any], *, created: float) -> Json:
    values = given.get("Values")
    keys = table.get("PartitionKeys") or []
    if not isinstance(values, list) or len(values) != len(keys):
        raise invalid(
            "The number of partition keys do not match the number of partition values: "
            f"{table['Name']} has {len(keys)} keys."
        )
    return {
        **given,
        "Values": [str(value) for value in values],
        "DatabaseName": table["DatabaseName"],
        "TableName": table["Name"],
        "CreationTime": created,
        "CatalogId": ACCOUNT_ID,
    }


def _part(values: Sequence[str]) -> str:
    return json.dumps([str(value) for value in values], ensure_ascii=False)


def _load(body: str) -> Json:
    loaded: Json = json.loads(body)
    return loaded


def _now() -> float:
    return round(time.time(), 3)
