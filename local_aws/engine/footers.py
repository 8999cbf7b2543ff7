"""Parquet footers: which columns a file has, of what type and size. Cached: blobs never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from local_aws.engine.errors import QueryError
from local_aws.engine.types import Type, quote


@dataclass(frozen=True, slots=True)
class Footer:
    """What one Parquet file says of itself."""

    signature: tuple[tuple[str, str], ...]
    """Name and Arrow type of each column; files with the same one are read together."""

    fields: dict[str, tuple[str, pa.DataType]]
    """By lower-case name: the name as written, and the type."""

    sizes: dict[str, int]
    """Compressed bytes of each column's chunks."""

    rows: int

    def size_of(self, names: Sequence[str]) -> int:
        """Compressed bytes of these columns."""
        return sum(self.sizes.get(name, 0) for name in names)

    def read_as(self, name: str, kind: Type) -> str:
        """SQL of a column as its declared type; null if the file has no such column."""
        if name not in self.fields:
            return f"CAST(NULL AS {kind.duck})"
        written, have = self.fields[name]
        if not _compatible(have, kind):
            raise QueryError(
                "HIVE_BAD_DATA",
                f"Field {name}'s type {have} in parquet file is incompatible with type {kind} "
                "defined in table schema",
            )
        sql = quote(written)
        if kind.name == "timestamp" and pa.types.is_timestamp(have):
            sql = f"CAST({sql} AS TIMESTAMP)"
            if have.unit in ("us", "ns") and kind.numbers[0] < 6:
                sql = f"local_round_micros({sql}, {10 ** (6 - kind.numbers[0])})"
            return sql
        return f"CAST({sql} AS {kind.duck})"


def _compatible(have: pa.DataType, kind: Type) -> bool:
    types = pa.types
    if kind.name in ("varchar", "char", "json"):
        return bool(types.is_string(have) or types.is_large_string(have) or types.is_binary(have)
                    or types.is_dictionary(have))  # fmt: skip
    if kind.is_integer:
        return bool(types.is_integer(have))
    if kind.name in ("real", "double"):
        return bool(types.is_floating(have))
    if kind.name == "decimal":
        return bool(types.is_decimal(have) or types.is_integer(have))
    if kind.name == "boolean":
        return bool(types.is_boolean(have))
    if kind.name == "date":
        return bool(types.is_date(have))
    if kind.name in ("timestamp", "timestamptz"):
        return bool(types.is_timestamp(have))
    if kind.name == "varbinary":
        return bool(types.is_binary(have) or types.is_large_binary(have)
                    or types.is_fixed_size_binary(have) or types.is_string(have))  # fmt: skip
    if kind.name == "array":
        return bool(types.is_list(have) or types.is_large_list(have))
    if kind.name == "map":
        return bool(types.is_map(have))
    return bool(types.is_struct(have))


@lru_cache(maxsize=20_000)
def footer(path: Path) -> Footer:
    """Read a file's footer; HIVE_CANNOT_OPEN_SPLIT if it is no Parquet file."""
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowInvalid, OSError) as error:
        raise QueryError(
            "HIVE_CANNOT_OPEN_SPLIT",
            f"Error opening Hive split {path.name.rsplit('~', 1)[0]}: {error}",
        ) from None
    sizes: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        chunks = metadata.row_group(group)
        for number in range(chunks.num_columns):
            chunk = chunks.column(number)
            name = chunk.path_in_schema.split(".", 1)[0].lower()
            sizes[name] = sizes.get(name, 0) + chunk.total_compressed_size
    fields = {f.name.lower(): (f.name, f.type) for f in schema}
    signature = tuple((f.name, str(f.type)) for f in schema)
    return Footer(signature, fields, sizes, metadata.num_rows)
