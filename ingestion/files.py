"""Arrow tables as Parquet files: the one place that says how they are encoded. Pure, no I/O.

Every choice was measured on the simulator's days (DECISIONS.md); rows stay in the order in which
they come, and ours come by time. Only v1 data pages and encodings that Athena reads.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 262_144
"""At 50,000 a user's bytes are stored in more dictionaries (8 % more bytes), and one group for
a million rows would leave a query about an hour nothing to skip."""

DICTIONARY_BYTES = 2**23
"""As many users as a row group has rows; Arrow's megabyte would end at 32,768 of them."""

_DICTIONARY = frozenset(
    (
        *("user_id", "activity", "url", "method", "log_name", "level_name", "message"),
        *("key_fingerprint", "batch_seq", "landed_at", "reason", "stage", "arrived_date"),
    )
)
"""Columns that say few things many times over. A user makes several records a day."""

_DELTA = {
    "record_id": "DELTA_BINARY_PACKED",
    "occurred_at": "DELTA_BINARY_PACKED",
    "arrived_at": "DELTA_BINARY_PACKED",
    "occurred_at_text": "DELTA_BYTE_ARRAY",
}
"""Columns that ascend, or nearly: the difference from the row before is what is stored."""


def encode(table: pa.Table, order: pa.Array | None = None) -> bytes:
    """Return a table as the bytes of a Parquet file: the same bytes for the same rows.

    ``order`` holds the rows' places where they are to be in another order: so a large table is
    sorted a row group at a time, and there is no second copy of it.
    """
    names = table.schema.names
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=3,  # 9 takes twice the time and saves 1 %
        use_dictionary=[name for name in names if name in _DICTIONARY],
        column_encoding={name: _DELTA[name] for name in names if name in _DELTA},
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        # Bounds of numbers and times let a reader skip; those of text cost a fifth of the time.
        write_statistics=[field.name for field in table.schema if _has_bounds(field.type)],
        coerce_timestamps="ms",
        store_schema=False,
    ) as writer:
        for start in range(0, table.num_rows, ROW_GROUP_ROWS):
            if order is None:
                rows = table.slice(start, ROW_GROUP_ROWS)
            else:
                rows = table.take(order.slice(start, ROW_GROUP_ROWS))
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue()


def _has_bounds(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))
