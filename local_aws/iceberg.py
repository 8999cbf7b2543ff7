"""Iceberg's metadata on our Store, through pyiceberg: no HTTP to ourselves.

A commit is Glue's: the table's ``metadata_location`` moves on only if its VersionId is still the
one that was read, so of many who commit at once one wins and the others hear of it.
"""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.manifest import DataFile, DataFileContent, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.table.update import update_table_metadata
from pyiceberg.types import NestedField

from local_aws.engine.errors import QueryError
from local_aws.engine.iceberg_types import to_trino
from local_aws.glue import Catalog, GlueError, Json
from local_aws.store import Store


class StoreFileIO(FileIO):  # type: ignore[misc]  # pyiceberg is not typed for us
    """Reads objects of the Store by their URI; what is written waits for the commit.

    So manifests, metadata and the catalogue change in one transaction, and a commit that fails
    leaves nothing behind.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.pending: dict[str, bytes] = {}

    def new_input(self, location: str) -> InputFile:
        """An object to read."""
        return _Input(location, self)

    def new_output(self, location: str) -> OutputFile:
        """An object to write."""
        return _Output(location, self)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object."""
        uri = location if isinstance(location, str) else location.location
        if self.pending.pop(uri, None) is None:
            self.store.delete(*Store.parse_uri(uri))

    def flush(self) -> None:
        """Put what waits, inside the caller's transaction."""
        for uri, data in self.pending.items():
            self.store.put(*Store.parse_uri(uri), data)


class _Input(InputFile):  # type: ignore[misc]
    def __init__(self, location: str, files: StoreFileIO) -> None:
        super().__init__(location)
        self._files = files

    def _path(self) -> Path:
        info = self._files.store.get(*Store.parse_uri(self.location))
        if info is None:
            raise _missing(self.location)
        return info.path

    def __len__(self) -> int:
        waiting = self._files.pending.get(self.location)
        return len(waiting) if waiting is not None else self._path().stat().st_size

    def exists(self) -> bool:
        return (
            self.location in self._files.pending
            or self._files.store.get(*Store.parse_uri(self.location)) is not None
        )

    def open(self, seekable: bool = True) -> Any:
        waiting = self._files.pending.get(self.location)
        return io.BytesIO(waiting) if waiting is not None else self._path().open("rb")


class _Stream(io.BytesIO):
    """Waits for the commit once it is closed without an exception."""

    def __init__(self, files: StoreFileIO, location: str) -> None:
        super().__init__()
        self._files, self._location = files, location

    def close(self) -> None:
        if not self.closed:
            self._files.pending[self._location] = self.getvalue()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is not None:
            super().close()
        self.close()


class _Output(OutputFile):  # type: ignore[misc]
    def __init__(self, location: str, files: StoreFileIO) -> None:
        super().__init__(location)
        self._files = files

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        return bool(self.to_input_file().exists())

    def to_input_file(self) -> InputFile:
        return _Input(self.location, self._files)

    def create(self, overwrite: bool = False) -> Any:
        return _Stream(self._files, self.location)


class TableCatalog(NoopCatalog):  # type: ignore[misc]
    """Commits one table; ``strict`` allows no other commit since the table was read."""

    def __init__(
        self, store: Store, catalog: Catalog, database: str, name: str, *, glue: Json | None,
        strict: bool,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self._store, self._catalog = store, catalog
        self.io = StoreFileIO(store)
        """Of every table this catalogue hands out: what waits must survive a commit's retry."""

        self._database, self._table = database, name
        self._glue, self._strict = glue, strict

    def load_table(self, identifier: Any) -> Table:
        """The table as it is now."""
        return self.table(self._catalog.require_table(self._database, self._table))

    def table(self, glue: Json) -> Table:
        """A table as the catalogue describes it."""
        return Table(
            (self._database, self._table),
            metadata_of(self._store, glue),
            glue["Parameters"]["metadata_location"],
            self.io,
            self,
        )

    def commit_table(
        self, table: Table, requirements: tuple[Any, ...], updates: tuple[Any, ...]
    ) -> CommitTableResponse:
        """Write new metadata and point Glue to it."""
        with self._store.write():
            base, glue = table.metadata, None
            if self._glue is not None:
                glue = self._catalog.get_table(self._database, self._table)
                if glue is None:
                    raise conflict(self._database, self._table)
                if self._strict and glue["VersionId"] != self._glue["VersionId"]:
                    raise conflict(self._database, self._table)
                base = metadata_of(self._store, glue)
            for requirement in requirements:
                requirement.validate(base)
            location = (glue or {}).get("Parameters", {}).get("metadata_location")
            metadata = update_table_metadata(base, updates, False, location)
            self.io.flush()
            return self._publish(metadata, glue, location)

    def _publish(
        self, metadata: TableMetadata, glue: Json | None, before: str | None
    ) -> CommitTableResponse:
        number = int(before.rsplit("/", 1)[-1].split("-", 1)[0]) + 1 if before else 0
        folder = f"{metadata.location.rstrip('/')}/metadata"
        location = f"{folder}/{number:05d}-{uuid.uuid4()}.metadata.json"
        text = metadata.model_dump_json(exclude_none=True, by_alias=True)
        self._store.put(*Store.parse_uri(location), text.encode(), content_type="application/json")
        body = table_input(self._table, metadata, location, glue, before)
        try:
            if glue is None:
                self._catalog.create_table(self._database, body)
            else:
                self._catalog.update_table(
                    self._database, body, version_id=glue["VersionId"], skip_archive=False
                )
        except GlueError as error:
            if error.code == "ConcurrentModificationException":
                raise CommitFailedException(error.message) from error
            raise
        return CommitTableResponse(metadata=metadata, metadata_location=location)


def conflict(database: str, name: str) -> QueryError:
    """What Athena says when another commit was faster."""
    return QueryError(
        "ICEBERG_COMMIT_ERROR",
        f"Failed to commit Iceberg update to table: {database}.{name}: the table was changed by "
        "another statement",
    )


def load(store: Store, catalog: Catalog, glue: Json, *, strict: bool = False) -> Table:
    """A table of the catalogue."""
    database, name = glue["DatabaseName"], glue["Name"]
    return TableCatalog(store, catalog, database, name, glue=glue, strict=strict).table(glue)


def metadata_of(store: Store, glue: Json) -> TableMetadata:
    """The metadata that the catalogue points to."""
    location = (glue.get("Parameters") or {}).get("metadata_location")
    if not location:
        raise QueryError(
            "ICEBERG_INVALID_METADATA",
            f"Table {glue['DatabaseName']}.{glue['Name']} is missing [metadata_location] property",
        )
    info = store.get(*Store.parse_uri(location))
    if info is None:
        raise _missing(location)
    with _legible(location):
        return _parse(info.path)


def _missing(location: str) -> QueryError:
    return QueryError("ICEBERG_INVALID_METADATA", f"Metadata not found: {location}")


@contextlib.contextmanager
def _legible(location: str) -> Iterator[None]:
    """Name the file whatever pyiceberg says of it: its readers fail in many ways."""
    try:
        yield
    except QueryError:
        raise
    except Exception as error:
        raise QueryError(
            "ICEBERG_INVALID_METADATA",
            f"Metadata cannot be read: {location} ({type(error).__name__})",
        ) from error


@lru_cache(maxsize=256)
def _parse(path: Path) -> TableMetadata:
    return TableMetadataUtil.parse_raw(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=256)
def _files(store: Store, manifest_list: str) -> tuple[DataFile, ...]:
    from pyiceberg.manifest import read_manifest_list

    files_io = StoreFileIO(store)
    with _legible(manifest_list):
        manifests = list(read_manifest_list(files_io.new_input(manifest_list)))
    return tuple(file for manifest in manifests for file in _manifest_files(files_io, manifest))


_MANIFESTS: dict[tuple[Store, str], tuple[DataFile, ...]] = {}
"""What manifests list: they never change, and a commit writes few of a table's anew."""


def _manifest_files(files_io: StoreFileIO, manifest: ManifestFile) -> tuple[DataFile, ...]:
    key = (files_io.store, manifest.manifest_path)
    found = _MANIFESTS.get(key)
    if found is None:
        with _legible(manifest.manifest_path):
            entries = manifest.fetch_manifest_entry(files_io, discard_deleted=True)
            found = tuple(entry.data_file for entry in entries)
        if len(_MANIFESTS) >= 4096:
            _MANIFESTS.clear()
        _MANIFESTS[key] = found
    return found


def all_files(
    store: Store, metadata: TableMetadata, snapshot_id: int | None = None
) -> list[DataFile]:
    """The data files and delete files of the current (or another) snapshot."""
    snapshot = (
        metadata.current_snapshot() if snapshot_id is None
        else metadata.snapshot_by_id(snapshot_id)
    )  # fmt: skip
    return list(_files(store, snapshot.manifest_list)) if snapshot is not None else []


def data_files(
    store: Store, metadata: TableMetadata, snapshot_id: int | None = None
) -> list[DataFile]:
    """Only the files that hold rows."""
    return [
        file for file in all_files(store, metadata, snapshot_id)
        if file.content == DataFileContent.DATA
    ]  # fmt: skip


def position_deletes(
    store: Store, metadata: TableMetadata, snapshot_id: int | None = None
) -> list[DataFile]:
    """The files that name deleted rows by file and position; other kinds are refused."""
    found = [
        file for file in all_files(store, metadata, snapshot_id)
        if file.content != DataFileContent.DATA
    ]  # fmt: skip
    for file in found:
        if file.content != DataFileContent.POSITION_DELETES:
            raise QueryError("NOT_SUPPORTED", "Iceberg's equality deletes are not supported here")
        if file.file_format.value.upper() != "PARQUET":
            raise QueryError(
                "NOT_SUPPORTED",
                f"Iceberg's deletes in {file.file_format.value} are not supported here",
            )
    return found


def columns_of(schema: Schema) -> list[Json]:
    """A schema as Glue's columns."""
    return [_column(field, current=True) for field in schema.fields]


def _column(field: NestedField, *, current: bool) -> Json:
    column: Json = {
        "Name": field.name,
        "Type": to_trino(field.field_type).glue,
        "Parameters": {
            "iceberg.field.current": str(current).lower(),
            "iceberg.field.id": str(field.field_id),
            "iceberg.field.optional": str(field.optional).lower(),
        },
    }
    if field.doc:
        column["Comment"] = field.doc
    return column


def _former(metadata: TableMetadata) -> Iterable[Json]:
    names = {field.name for field in metadata.schema().fields}
    for schema in metadata.schemas:
        for field in schema.fields:
            if field.name not in names:
                names.add(field.name)
                yield _column(field, current=False)


def table_input(
    name: str, metadata: TableMetadata, location: str, glue: Json | None, before: str | None
) -> Json:
    """The Glue entry of an Iceberg table."""
    parameters = dict((glue or {}).get("Parameters") or {})
    parameters |= {"table_type": "ICEBERG", "metadata_location": location}
    if before:
        parameters["previous_metadata_location"] = before
    comments = {
        c["Name"]: c["Comment"]
        for c in ((glue or {}).get("StorageDescriptor") or {}).get("Columns") or []
        if c.get("Comment")
    }
    columns = [*columns_of(metadata.schema()), *_former(metadata)]
    for column in columns:
        if column["Name"] in comments:
            column.setdefault("Comment", comments[column["Name"]])
    body: Json = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "StorageDescriptor": {
            "Columns": columns,
            "Location": metadata.location,
            "Compressed": False,
            "NumberOfBuckets": 0,
            "SerdeInfo": {},
            "BucketColumns": [],
            "SortColumns": [],
            "StoredAsSubDirectories": False,
        },
        "PartitionKeys": [],
    }
    if glue and glue.get("Description"):
        body["Description"] = glue["Description"]
    return body
