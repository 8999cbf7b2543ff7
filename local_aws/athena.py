"""The Athena API: what boto3's Athena client calls. Queries run in ``athena_queries``."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable

from local_aws.athena_errors import AthenaApiError, invalid_request, metadata_error
from local_aws.athena_history import History
from local_aws.athena_pages import paged
from local_aws.athena_queries import Queries
from local_aws.athena_workgroups import WorkGroups
from local_aws.glue import ACCOUNT_ID, Catalog, Json
from local_aws.store import Store

logger = logging.getLogger(__name__)

CATALOG = "AwsDataCatalog"


class Athena:
    """Dispatches the actions of one data folder."""

    def __init__(self, store: Store, catalog: Catalog, *, log_sql: bool = False) -> None:
        self._catalog = catalog
        self._history = History(store)
        self._work_groups = WorkGroups(self._history)
        self._queries = Queries(store, catalog, self._history, self._work_groups, log_sql=log_sql)
        # pyiceberg takes a second or two to import: not in the way of the first queries.
        threading.Thread(target=_import_iceberg, daemon=True).start()

    def dispatch(self, action: str, payload: Json) -> Json:
        """Answer one call; raises AthenaApiError (``code``, ``message``)."""
        handler = self._handlers().get(action)
        if handler is None:
            raise AthenaApiError("UnknownOperationException", f"{action} is not supported here.")
        try:
            return handler(payload)
        except KeyError as error:
            raise invalid_request(f"{action} needs {error.args[0]}.") from None

    def close(self) -> None:
        """Stop running queries and wait for them."""
        self._queries.close()

    def _handlers(self) -> dict[str, Callable[[Json], Json]]:
        queries, groups = self._queries, self._work_groups
        return {
            "StartQueryExecution": queries.start,
            "GetQueryExecution": queries.get,
            "BatchGetQueryExecution": queries.batch_get,
            "StopQueryExecution": queries.stop,
            "GetQueryResults": queries.results,
            "GetQueryRuntimeStatistics": queries.runtime_statistics,
            "ListQueryExecutions": queries.list_ids,
            "GetWorkGroup": groups.get,
            "ListWorkGroups": groups.list_groups,
            "CreateWorkGroup": groups.create,
            "UpdateWorkGroup": groups.update,
            "DeleteWorkGroup": groups.delete,
            "CreatePreparedStatement": groups.create_prepared,
            "UpdatePreparedStatement": groups.update_prepared,
            "GetPreparedStatement": groups.get_prepared,
            "ListPreparedStatements": groups.list_prepared,
            "DeletePreparedStatement": groups.delete_prepared,
            "GetDataCatalog": self._get_data_catalog,
            "ListDataCatalogs": self._list_data_catalogs,
            "GetDatabase": self._get_database,
            "ListDatabases": self._list_databases,
            "GetTableMetadata": self._get_table_metadata,
            "ListTableMetadata": self._list_table_metadata,
            "ListEngineVersions": self._list_engine_versions,
            "ListTagsForResource": lambda payload: {"Tags": []},
        }

    # ------------------------------------------------------------------ metadata

    def _get_data_catalog(self, payload: Json) -> Json:
        if payload["Name"].lower() != CATALOG.lower():
            raise invalid_request(f"DataCatalog {payload['Name']} was not found.")
        return {
            "DataCatalog": {
                "Name": CATALOG,
                "Description": "The Glue catalogue of this folder",
                "Type": "GLUE",
                "Parameters": {"catalog-id": ACCOUNT_ID},
            }
        }

    def _list_data_catalogs(self, payload: Json) -> Json:
        return {"DataCatalogsSummary": [{"CatalogName": CATALOG, "Type": "GLUE"}]}

    def _check_catalog(self, payload: Json) -> None:
        if payload["CatalogName"].lower() != CATALOG.lower():
            raise metadata_error(f"Catalog {payload['CatalogName']} not found.")

    def _get_database(self, payload: Json) -> Json:
        self._check_catalog(payload)
        database = self._catalog.get_database(payload["DatabaseName"])
        if database is None:
            raise metadata_error(f"Database {payload['DatabaseName']} not found.")
        return {"Database": _database(database)}

    def _list_databases(self, payload: Json) -> Json:
        self._check_catalog(payload)
        page, token = paged([_database(d) for d in self._catalog.databases()], payload)
        return {"DatabaseList": page, **token}

    def _get_table_metadata(self, payload: Json) -> Json:
        self._check_catalog(payload)
        table = self._catalog.get_table(payload["DatabaseName"], payload["TableName"])
        if table is None:
            raise metadata_error(
                f"Table {payload['DatabaseName']}.{payload['TableName']} not found: "
                "EntityNotFoundException"
            )
        return {"TableMetadata": _table(table)}

    def _list_table_metadata(self, payload: Json) -> Json:
        self._check_catalog(payload)
        if self._catalog.get_database(payload["DatabaseName"]) is None:
            raise metadata_error(f"Database {payload['DatabaseName']} not found.")
        tables = [_table(t) for t in self._catalog.tables(payload["DatabaseName"])]
        expression = payload.get("Expression")
        if expression:
            pattern = re.compile(expression.replace("*", ".*") if "." not in expression
                                 else expression)  # fmt: skip
            tables = [t for t in tables if pattern.search(t["Name"])]
        page, token = paged(tables, payload)
        return {"TableMetadataList": page, **token}

    def _list_engine_versions(self, payload: Json) -> Json:
        version = "Athena engine version 3"
        return {
            "EngineVersions": [
                {"SelectedEngineVersion": version, "EffectiveEngineVersion": version}
            ]
        }


def _database(database: Json) -> Json:
    return {
        "Name": database["Name"],
        "Description": database.get("Description", ""),
        "Parameters": database.get("Parameters") or {},
    }


def _table(table: Json) -> Json:
    descriptor = table.get("StorageDescriptor") or {}
    serde = descriptor.get("SerdeInfo") or {}
    parameters = {
        **(table.get("Parameters") or {}),
        "inputformat": descriptor.get("InputFormat", ""),
        "location": descriptor.get("Location", ""),
        "outputformat": descriptor.get("OutputFormat", ""),
        "serde.serialization.lib": serde.get("SerializationLibrary", ""),
        **{f"serde.param.{k}": v for k, v in (serde.get("Parameters") or {}).items()},
    }

    def columns(listed: list[Json]) -> list[Json]:
        return [
            {k: c[k] for k in ("Name", "Type", "Comment") if c.get(k) is not None} for c in listed
        ]

    return {
        "Name": table["Name"],
        "CreateTime": table["CreateTime"],
        "LastAccessTime": table.get("LastAccessTime", table["CreateTime"]),
        "TableType": table.get("TableType", "EXTERNAL_TABLE"),
        "Columns": columns(descriptor.get("Columns") or []),
        "PartitionKeys": columns(table.get("PartitionKeys") or []),
        "Parameters": parameters,
    }


def _import_iceberg() -> None:
    try:
        import local_aws.iceberg  # noqa: F401
    except Exception:
        logger.exception("pyiceberg cannot be imported: Iceberg tables will not work")
