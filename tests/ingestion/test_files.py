"""What a Parquet file of ours holds, read by two readers that did not write it."""

import io
import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion import files
from ingestion.tables import ACCESS_LOGS, QUARANTINED_RECORDS

ROOT = Path(__file__).parent.parent.parent
DUCKDB = """
import duckdb, json, sys
relation = duckdb.sql(f"select * from read_parquet('{sys.argv[1]}')")
rows = [dict(zip(relation.columns, row)) for row in relation.fetchall()]
print(json.dumps(rows, default=lambda v: v.hex() if isinstance(v, bytes) else str(v)))
"""
STRANGE = ["", "x" * 40_000, "\u0000", "한국 🙂", "a'b\\\"c", None]


def table_of(count: int) -> pa.Table:
    """Rows by time, many users, nulls and strange texts among them."""
    return pa.table(
        {
            "record_id": [2**63 - 1 - n if n % 1_000 == 0 else n for n in range(count)],
            "user_id": [(n * 7919 % 50_021).to_bytes(16, "big") for n in range(count)],
            "activity": [("view", "cart", None)[n % 3] for n in range(count)],
            "url": [STRANGE[n % 6] if n % 997 == 0 else "/api" for n in range(count)],
            "method": [None] * count,
            "log_name": ["json_logger"] * count,
            "level_name": ["INFO"] * count,
            "message": [STRANGE[n // 997 % 6] if n % 997 == 0 else "POST" for n in range(count)],
            "occurred_at": pa.array(range(-count, 0), pa.timestamp("ms")),
            "occurred_at_text": [
                STRANGE[n % 5] if n % 997 == 0 else f"2026-01-01T00:{n:09d}Z" for n in range(count)
            ],
            "arrived_at": pa.array([n * 300 for n in range(count)], pa.timestamp("ms")),
            "extra_fields": [None if n % 2 else "{}" for n in range(count)],
            "key_fingerprint": ["0123456789abcdef"] * count,
            "batch_seq": [n // 1_000 + 1 for n in range(count)],
            "landed_at": pa.array([0] * count, pa.timestamp("ms")),
        },
        schema=ACCESS_LOGS.schema,
    )


@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_every_row_comes_back_from_arrow(count: int):
    table = table_of(count)

    read = pq.read_table(io.BytesIO(files.encode(table)))

    assert read.to_pylist() == table.to_pylist()
    assert read.schema.types == table.schema.types


def test_every_row_comes_back_from_another_engine(tmp_path: Path):
    table = table_of(3_000)
    path = tmp_path / "a.parquet"
    path.write_bytes(files.encode(table))

    python = ROOT / "local_aws/.venv/bin/python"
    said = subprocess.run(
        [python, "-c", DUCKDB, path], capture_output=True, text=True, check=True
    ).stdout

    shown = [
        {k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()}
        for row in table.to_pylist()
    ]
    assert json.loads(said) == json.loads(json.dumps(shown, default=str))


def test_the_same_rows_are_the_same_bytes():
    assert files.encode(table_of(2_000)) == files.encode(table_of(2_000))


def test_rows_come_in_the_order_that_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 700)
    table = pa.concat_tables([table_of(1_000), table_of(1_500)])
    order = list(range(table.num_rows))[::-1]

    body = files.encode(table, pa.array(order))

    assert pq.read_table(io.BytesIO(body)).to_pylist() == table.to_pylist()[::-1]
    assert pq.read_metadata(io.BytesIO(body)).num_row_groups == 4


def test_row_groups_are_large_and_dictionaries_of_users_never_overflow():
    table = table_of(files.ROW_GROUP_ROWS + 1)

    metadata = pq.read_metadata(io.BytesIO(files.encode(table)))

    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [files.ROW_GROUP_ROWS, 1]
    users = groups[0].column(1)
    assert users.path_in_schema == "user_id"
    # A dictionary that overflows goes on in PLAIN, so that every later user costs 16 bytes.
    assert users.total_uncompressed_size < 50_021 * 16 + files.ROW_GROUP_ROWS * 3


def test_bounds_are_kept_where_a_reader_can_skip_by_them():
    metadata = pq.read_metadata(io.BytesIO(files.encode(table_of(2_000))))

    columns = [metadata.row_group(0).column(n) for n in range(metadata.num_columns)]
    bounded = {column.path_in_schema for column in columns if column.is_stats_set}

    assert bounded == {"record_id", "occurred_at", "arrived_at", "batch_seq", "landed_at"}


def test_rejects_are_encoded_by_the_same_hand():
    row = {
        "batch_seq": 1,
        "record_id": None,
        "record_key": "sha256:0",
        "reason": "ID_MISSING",
        "stage": "envelope",
        "envelope": "{}",
        "key_fingerprint": None,
        "arrived_date": "2026-01-01",
        "landed_at": 0,
    }
    table = pa.Table.from_pylist([row] * 3, QUARANTINED_RECORDS.schema)

    assert pq.read_table(io.BytesIO(files.encode(table))).to_pylist() == table.to_pylist()
