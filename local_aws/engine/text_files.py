"""Files of lines: JSON and delimited text, as the SerDe of the table says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from local_aws.engine.errors import QueryError, refuse
from local_aws.engine.tables import Reader
from local_aws.engine.types import Type, quote, quote_text
from local_aws.glue import Json
from local_aws.objects import ObjectInfo
from local_aws.store import Store

SMALL_FILE = 1_000_000
MANY_FILES = 8
"""So many small files of lines are read as one."""

_SUFFIXES = {".gz": "gzip", ".zst": "zstd"}
_UNREADABLE = (".bz2", ".lz4", ".snappy", ".deflate", ".lzo")

Columns = Sequence[tuple[str, Type]]


def compression(info: ObjectInfo) -> str:
    """How a file is compressed: its name says so."""
    for suffix, name in _SUFFIXES.items():
        if info.key.endswith(suffix):
            return name
    if info.key.endswith(_UNREADABLE):
        refuse(f"Text compressed as {info.key.rsplit('.', 1)[-1]} is not supported here")
    return "none"


def read_json(
    infos: list[ObjectInfo], columns: Columns, used: list[int], store: Store, reader: Reader
) -> str:
    """What stands after FROM: these columns of files of one compression, as ``c<n>``."""
    names = [(i, *columns[i]) for i in used] or [(0, *columns[0])]
    how = compression(infos[0])
    spelled = _json_keys(infos, [name for _, name, _ in names])
    wanted = ", ".join(
        f"{quote_text(spelled.get(name, name))}: {quote_text(_json_type(kind))}"
        for _, name, kind in names
    )
    paths = _joined(infos, store, reader) if how == "none" else [info.path for info in infos]
    listed = ", ".join(quote_text(str(path)) for path in paths)
    items = ", ".join(
        f"{_from_json(quote(spelled.get(name, name)), kind)} AS c{i}" for i, name, kind in names
    )
    return (
        f"(SELECT {items} FROM read_json([{listed}], format='newline_delimited', "
        f"compression='{how}', hive_partitioning=false, columns={{{wanted}}})) AS j_"
    )


def read_text(
    infos: list[ObjectInfo], columns: Columns, used: list[int], table: Json, *, csv: bool
) -> str:
    """Likewise, of delimited text; ``csv`` is OpenCSV's."""
    declared = ", ".join(f"{quote_text(f'c{i}')}: 'VARCHAR'" for i in range(len(columns)))
    listed = ", ".join(quote_text(str(info.path)) for info in infos)
    read = (
        f"read_csv([{listed}], columns={{{declared}}}, {_text_options(table, csv=csv)}, "
        f"compression='{compression(infos[0])}', header=false, auto_detect=false, "
        "null_padding=true, strict_mode=false, hive_partitioning=false)"
    )
    items = []
    for i in used or [0]:
        kind, sql = columns[i][1], f"c{i}"
        if kind.of:
            refuse("Nested types in text files are not supported here")
        if kind.name != "varchar":
            sql = f"{'CAST' if csv else 'TRY_CAST'}(nullif({sql}, '') AS {kind.duck})"
        items.append(f"{sql} AS c{i}")
    return f"(SELECT {', '.join(items)} FROM {read}) AS t_"


def _joined(infos: list[ObjectInfo], store: Store, reader: Reader) -> list[Path]:
    """The files, the small ones as one: DuckDB takes a millisecond to open each."""
    small = [info for info in infos if info.size <= SMALL_FILE]
    if len(small) < MANY_FILES:
        return [info.path for info in infos]
    joined = reader.new_blob(store)
    with joined.open("wb") as whole:
        for info in small:
            data = info.path.read_bytes()
            whole.write(data if data.endswith(b"\n") else data + b"\n")
    return [joined, *(info.path for info in infos if info.size > SMALL_FILE)]


def _text_options(table: Json, *, csv: bool) -> str:
    parameters = table.get("Parameters") or {}
    serde = (table["StorageDescriptor"].get("SerdeInfo") or {}).get("Parameters") or {}
    skip = int(parameters.get("skip.header.line.count", 0))
    if csv:
        delimiter = serde.get("separatorChar", ",")
        quoting = serde.get("quoteChar", '"')
        escape = serde.get("escapeChar", quoting)
        null = "\x01\x02"
    else:
        delimiter = serde.get("field.delim", serde.get("serialization.format", "\x01"))
        quoting, escape = "", serde.get("escape.delim", "")
        null = serde.get("serialization.null.format", "\\N")
    if len(delimiter) != 1:
        refuse(f"A delimiter of {len(delimiter)} characters is not supported here")
    escape = quoting if escape not in ("", '"', "'") and not quoting else escape
    return (
        f"delim={quote_text(delimiter)}, quote={quote_text(quoting)}, "
        f"escape={quote_text(escape)}, nullstr={quote_text(null)}, skip={skip}"
    )


def _json_type(kind: Type) -> str:
    """Times come as text and are read by us; the rest DuckDB reads."""
    return "VARCHAR" if kind.name in ("timestamp", "varbinary") else kind.duck


def _from_json(sql: str, kind: Type) -> str:
    if kind.name == "timestamp":
        return f"CAST(replace(rtrim({sql}, 'Z'), 'T', ' ') AS TIMESTAMP)"
    if kind.name == "varbinary":
        return f"from_base64({sql})"
    return sql


def _first_line(info: ObjectInfo) -> bytes:
    how = compression(info)
    if how == "zstd":
        refuse("JSON compressed with zstd is not supported here")
    if how == "gzip":
        with gzip.open(info.path) as lines:
            return lines.readline()
    with info.path.open("rb") as plain:
        return plain.readline()


def _json_keys(infos: list[ObjectInfo], names: list[str]) -> dict[str, str]:
    """How the files spell the columns: JSON's keys are matched without regard to case."""
    spelled: dict[str, str] = {}
    for info in infos:
        try:
            first = json.loads(_first_line(info))
        except (ValueError, OSError, EOFError):
            raise QueryError(
                "HIVE_BAD_DATA",
                f"Error parsing JSON in {info.uri}: Row is not a valid JSON Object",
            ) from None
        for key in first if isinstance(first, dict) else ():
            lowered = key.lower()
            clash = key != lowered and spelled.setdefault(lowered, key) != key
            if lowered in names and clash:
                refuse(f"Files that spell the key {key} differently are not supported here")
    return spelled
