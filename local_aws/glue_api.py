"""Glue's JSON API over a Catalog: paging, filters, batches with an error per item."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_aws.glue import Catalog, GlueError, Json, invalid, not_found
from local_aws.glue_expression import compile_expression
from local_aws.store import Store

_Handler = Callable[[Mapping[str, Any]], Json]

_PAGE = 100
"""Default and most items a page holds, as Glue's own (GetPartitions: 1000)."""

_PARTITION_PAGE = 1000


class GlueApi:
    """Answers Glue's actions; what is not here is refused by name, never answered with a guess."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._actions: dict[str, _Handler] = {
            "CreateDatabase": self._create_database,
            "GetDatabase": self._get_database,
            "GetDatabases": self._get_databases,
            "UpdateDatabase": self._update_database,
            "DeleteDatabase": self._delete_database,
            "CreateTable": self._create_table,
            "GetTable": self._get_table,
            "GetTables": self._get_tables,
            "UpdateTable": self._update_table,
            "DeleteTable": self._delete_table,
            "BatchDeleteTable": self._batch_delete_table,
            "GetTableVersion": self._get_table_version,
            "GetTableVersions": self._get_table_versions,
            "DeleteTableVersion": self._delete_table_version,
            "BatchDeleteTableVersion": self._batch_delete_table_version,
            "CreatePartition": self._create_partition,
            "BatchCreatePartition": self._batch_create_partition,
            "GetPartition": self._get_partition,
            "GetPartitions": self._get_partitions,
            "BatchGetPartition": self._batch_get_partition,
            "UpdatePartition": self._update_partition,
            "BatchUpdatePartition": self._batch_update_partition,
            "DeletePartition": self._delete_partition,
            "BatchDeletePartition": self._batch_delete_partition,
        }

    def dispatch(self, action: str, payload: Mapping[str, Any]) -> Json:
        """Answer one action; raises GlueError."""
        handler = self._actions.get(action)
        if handler is None:
            raise GlueError(
                "UnknownOperationException", f"local_aws does not implement Glue's {action}."
            )
        catalog_id = payload.get("CatalogId")
        if catalog_id is not None and not re.fullmatch(r"\d{12}", str(catalog_id)):
            raise not_found(f"Catalog {catalog_id} not found: local_aws has the default one only.")
        try:
            return handler(payload)
        except KeyError as error:
            raise invalid(f"{action} needs the parameter {error.args[0]}.") from error

    # ---------------------------------------------------------------- databases

    def _create_database(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.create_database(payload["DatabaseInput"])
        return {}

    def _get_database(self, payload: Mapping[str, Any]) -> Json:
        database = self._catalog.get_database(payload["Name"])
        if database is None:
            raise not_found(f"Database {payload['Name']} not found.")
        return {"Database": database}

    def _get_databases(self, payload: Mapping[str, Any]) -> Json:
        return _page("DatabaseList", self._catalog.databases(), payload)

    def _update_database(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.update_database(payload["Name"], payload["DatabaseInput"])
        return {}

    def _delete_database(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.delete_database(payload["Name"])
        return {}

    # ---------------------------------------------------------------- tables

    def _create_table(self, payload: Mapping[str, Any]) -> Json:
        if payload.get("OpenTableFormatInput"):
            raise invalid("local_aws does not implement OpenTableFormatInput; write the metadata.")
        if payload.get("PartitionIndexes"):
            raise invalid("local_aws has no partition indexes; create the table without them.")
        self._catalog.create_table(payload["DatabaseName"], payload["TableInput"])
        return {}

    def _get_table(self, payload: Mapping[str, Any]) -> Json:
        return {"Table": self._catalog.require_table(payload["DatabaseName"], payload["Name"])}

    def _get_tables(self, payload: Mapping[str, Any]) -> Json:
        tables = self._catalog.tables(payload["DatabaseName"])
        if expression := payload.get("Expression"):
            pattern = _pattern(expression)
            tables = [table for table in tables if pattern.fullmatch(table["Name"])]
        if attributes := payload.get("AttributesToGet"):
            if attributes != ["NAME"]:
                raise invalid(f"local_aws knows AttributesToGet ['NAME'] only, not {attributes}.")
            tables = [{"Name": table["Name"]} for table in tables]
        return _page("TableList", tables, payload)

    def _update_table(self, payload: Mapping[str, Any]) -> Json:
        if payload.get("UpdateOpenTableFormatInput"):
            raise invalid("local_aws does not implement UpdateOpenTableFormatInput.")
        if name := payload.get("Name"):
            given = payload["TableInput"].get("Name", name)
            if given.lower() != name.lower():
                raise invalid("A table cannot be renamed by UpdateTable.")
        self._catalog.update_table(
            payload["DatabaseName"],
            payload["TableInput"],
            version_id=payload.get("VersionId"),
            skip_archive=bool(payload.get("SkipArchive")),
        )
        return {}

    def _delete_table(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.delete_table(payload["DatabaseName"], payload["Name"])
        return {}

    def _batch_delete_table(self, payload: Mapping[str, Any]) -> Json:
        database = payload["DatabaseName"]
        return _each(
            payload["TablesToDelete"],
            lambda name: self._catalog.delete_table(database, name),
            lambda name: {"TableName": name},
        )

    def _get_table_version(self, payload: Mapping[str, Any]) -> Json:
        versions = self._catalog.table_versions(payload["DatabaseName"], payload["TableName"])
        wanted = payload.get("VersionId", versions[0]["VersionId"])
        for table in versions:
            if table["VersionId"] == wanted:
                return {"TableVersion": {"Table": table, "VersionId": wanted}}
        raise not_found(f"Version {wanted} of table {payload['TableName']} not found.")

    def _get_table_versions(self, payload: Mapping[str, Any]) -> Json:
        tables = self._catalog.table_versions(payload["DatabaseName"], payload["TableName"])
        versions = [{"Table": table, "VersionId": table["VersionId"]} for table in tables]
        return _page(
            "TableVersions", versions, payload, key=lambda version: -int(version["VersionId"])
        )

    def _delete_table_version(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.delete_table_version(
            payload["DatabaseName"], payload["TableName"], payload["VersionId"]
        )
        return {}

    def _batch_delete_table_version(self, payload: Mapping[str, Any]) -> Json:
        database, table = payload["DatabaseName"], payload["TableName"]
        return _each(
            payload["VersionIds"],
            lambda version: self._catalog.delete_table_version(database, table, version),
            lambda version: {"TableName": table, "VersionId": version},
        )

    # ---------------------------------------------------------------- partitions

    def _create_partition(self, payload: Mapping[str, Any]) -> Json:
        self._catalog.create_partition(
            payload["DatabaseName"], payload["TableName"], payload["PartitionInput"]
        )
        return {}

    def _batch_create_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        return self._batch(
            _at_most(payload["PartitionInputList"], 100, "PartitionInputList"),
            lambda given: self._catalog.create_partition(database, table, given),
            lambda given: {"PartitionValues": given.get("Values", [])},
        )

    def _get_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        partition = self._catalog.get_partition(database, table, payload["PartitionValues"])
        if partition is None:
            raise not_found("Cannot find partition.")
        return {"Partition": partition}

    def _get_partitions(self, payload: Mapping[str, Any]) -> Json:
        database, name = self._required(payload)
        table = self._catalog.require_table(database, name)
        partitions = self._catalog.partitions(database, name)
        if (expression := (payload.get("Expression") or "").strip()) != "":
            selects = compile_expression(expression, table.get("PartitionKeys") or [])
            partitions = [each for each in partitions if selects(each["Values"])]
        if segment := payload.get("Segment"):
            number, total = segment["SegmentNumber"], segment["TotalSegments"]
            partitions = [
                each
                for each in partitions
                if zlib.crc32(json.dumps(each["Values"]).encode()) % total == number
            ]
        if payload.get("ExcludeColumnSchema"):
            for partition in partitions:
                partition.get("StorageDescriptor", {}).pop("Columns", None)
        return _page(
            "Partitions",
            partitions,
            payload,
            key=lambda partition: json.dumps(partition["Values"], ensure_ascii=False),
            most=_PARTITION_PAGE,
        )

    def _batch_get_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        wanted = _at_most(payload["PartitionsToGet"], 1000, "PartitionsToGet")
        found = [self._catalog.get_partition(database, table, each["Values"]) for each in wanted]
        # Glue leaves out what does not exist; UnprocessedKeys are for throttling.
        return {"Partitions": [each for each in found if each], "UnprocessedKeys": []}

    def _update_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        self._catalog.update_partition(
            database, table, payload["PartitionValueList"], payload["PartitionInput"]
        )
        return {}

    def _batch_update_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        return self._batch(
            _at_most(payload["Entries"], 100, "Entries"),
            lambda entry: self._catalog.update_partition(
                database, table, entry["PartitionValueList"], entry["PartitionInput"]
            ),
            lambda entry: {"PartitionValueList": entry["PartitionValueList"]},
        )

    def _delete_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        self._catalog.delete_partition(database, table, payload["PartitionValues"])
        return {}

    def _batch_delete_partition(self, payload: Mapping[str, Any]) -> Json:
        database, table = self._required(payload)
        return self._batch(
            _at_most(payload["PartitionsToDelete"], 25, "PartitionsToDelete"),
            lambda each: self._catalog.delete_partition(database, table, each["Values"]),
            lambda each: {"PartitionValues": each["Values"]},
        )

    # ---------------------------------------------------------------- private

    def _required(self, payload: Mapping[str, Any]) -> tuple[str, str]:
        """Database and table of a request on partitions, known to exist."""
        table = self._catalog.require_table(payload["DatabaseName"], payload["TableName"])
        return table["DatabaseName"], table["Name"]

    def _batch(
        self,
        items: Sequence[Any],
        act: Callable[[Any], object],
        name: Callable[[Any], Json],
    ) -> Json:
        """As ``_each``, in one transaction: a hundred partitions cost one commit."""
        with self._store.write():
            return _each(items, act, name)


def _each(items: Sequence[Any], act: Callable[[Any], object], name: Callable[[Any], Json]) -> Json:
    """Do each item; those that fail are listed with their error, the others are done."""
    errors = []
    for item in items:
        try:
            act(item)
        except GlueError as error:
            detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
            errors.append({**name(item), "ErrorDetail": detail})
    return {"Errors": errors}


def _page(
    field: str,
    items: list[Json],
    payload: Mapping[str, Any],
    key: Callable[[Json], Any] = lambda item: item["Name"],
    most: int = _PAGE,
) -> Json:
    """One page of ``items``, which are in the order of ``key``.

    The token names the last item shown, not its number: a client that deletes what it lists
    (as dbt-athena does) would otherwise skip as many as it deleted.
    """
    size = payload.get("MaxResults", most)
    if not isinstance(size, int) or not 1 <= size <= most:
        raise invalid(f"MaxResults must be between 1 and {most}.")
    if token := payload.get("NextToken"):
        last = _last_shown(token)
        try:
            items = [item for item in items if key(item) > last]
        except TypeError as error:
            raise invalid("The NextToken is not one of ours.") from error
    answer: Json = {field: items[:size]}
    if size < len(items):
        answer["NextToken"] = base64.b64encode(json.dumps(key(items[size - 1])).encode()).decode()
    return answer


def _last_shown(token: str) -> Any:
    try:
        return json.loads(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error) as error:
        raise invalid("The NextToken is not one of ours.") from error


def _at_most(items: Sequence[Any], most: int, field: str) -> Sequence[Any]:
    if len(items) > most:
        raise invalid(f"{field} may hold {most} items, it holds {len(items)}.")
    return items


def _pattern(expression: str) -> re.Pattern[str]:
    """Glue reads ``sales*`` as a wildcard and ``sales.*`` as a regular expression."""
    try:
        return re.compile(re.sub(r"(?<![.\])])\*", ".*", expression), re.IGNORECASE)
    except re.error as error:
        raise invalid(f"{expression!r} is not a regular expression: {error}.") from error
