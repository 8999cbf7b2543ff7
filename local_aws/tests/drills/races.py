"""Sixteen writers race on one Iceberg table: what was acknowledged is there, and nothing else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException

from local_aws.tests.athena import Athena
from local_aws.tests.conftest import Server

WRITERS = 16
BY_PYICEBERG = 4
"""Of the writers: they commit through Glue from outside, the others by INSERT, MERGE and UPDATE."""

SCHEMA = pa.schema([("id", pa.int64()), ("round", pa.int64()), ("name", pa.string())])


@dataclass
class Races:
    """What came of it."""

    rounds: int = 0
    acknowledged: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


def race(folder: Path, rounds: int, say: Callable[[str], None]) -> Races:
    """Let the writers race; after each round two readers count, Athena and pyiceberg."""
    server = Server(folder)
    try:
        server.client("s3").create_bucket(Bucket="race")
        server.client("glue").create_database(DatabaseInput={"Name": "race"})
        athena = Athena(server, "race", "race")
        athena.run(
            "create table t (id bigint, round bigint, name string) "
            "location 's3://race/t/' tblproperties ('table_type'='iceberg')"
        )
        athena.run("insert into t values (-1, 0, '')")
        found, bumps = Races(), 0
        for number in range(1, rounds + 1):
            results = _round(server, number)
            bumps += results.count(("bump", "yes"))
            inserted = {row for row, answer in results if answer == "yes" and row != "bump"}
            found.problems += _differences(server, athena, number, inserted, bumps)
            yes = Counter(answer for _, answer in results)
            found.rounds += 1
            found.acknowledged += yes["yes"]
            found.refused += yes["no"]
            found.problems += [a for _, a in results if a not in ("yes", "no")]
            say(f"race {number}: {yes['yes']} acknowledged, {yes['no']} refused")
        return found
    finally:
        server.stop()


def catalog_of(server: Server) -> Any:
    """pyiceberg's Glue catalogue, as a user configures it."""
    return load_catalog(
        "glue",
        **{
            "type": "glue",
            "glue.endpoint": server.url, "glue.region": "us-east-1",
            "glue.access-key-id": "any", "glue.secret-access-key": "any",
            "s3.endpoint": server.url, "s3.region": "us-east-1",
            "s3.access-key-id": "any", "s3.secret-access-key": "any",
        },
    )  # fmt: skip


def _round(server: Server, number: int) -> list[tuple[int | str, str]]:
    """One answer per writer: the id it wrote (or ``bump``), and yes, no or what went wrong."""
    answers: list[tuple[int | str, str]] = []
    gate = threading.Barrier(WRITERS)

    def write(who: int) -> None:
        row: int | str = number * 1000 + who
        try:
            if who < BY_PYICEBERG:
                table = catalog_of(server).load_table("race.t")
                batch = pa.table({"id": [row], "round": [number], "name": ["p"]}, schema=SCHEMA)
                gate.wait()
                table.append(batch)
            else:
                athena = Athena(server, "race", "race")
                sql = f"insert into t values ({row}, {number}, 'i')"
                if who % 4 == 1:
                    sql = (
                        f"merge into t using (values bigint '{row}') as s (id) on t.id = s.id "
                        f"when not matched then insert (id, round) values (s.id, {number})"
                    )
                elif who % 4 == 2:
                    row, sql = "bump", "update t set name = name || '+' where id = -1"
                gate.wait()
                ended = athena.wait(athena.start(sql))["Status"]
                if ended["State"] != "SUCCEEDED":
                    is_race = ended["StateChangeReason"].startswith("ICEBERG_COMMIT_ERROR")
                    answers.append((row, "no" if is_race else ended["StateChangeReason"]))
                    return
            answers.append((row, "yes"))
        except CommitFailedException:
            answers.append((row, "no"))
        except Exception as error:  # a writer must not end without an answer
            answers.append((row, f"writer {who}: {type(error).__name__}: {error}"))

    threads = [threading.Thread(target=write, args=(who,)) for who in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _differences(
    server: Server, athena: Athena, number: int, inserted: set[int | str], bumps: int
) -> list[str]:
    expected = sorted(inserted)
    rows = athena.rows(f"select id from t where round = {number} order by id")
    ours = [int(value or 0) for (value,) in rows]
    table = catalog_of(server).load_table("race.t").scan().to_arrow()
    theirs = sorted(table.filter(pa.compute.equal(table["round"], number))["id"].to_pylist())
    counted = len(athena.value("select name from t where id = -1") or "")
    problems = []
    if ours != expected:
        problems.append(f"round {number}: acknowledged {expected}, Athena sees {ours}")
    if theirs != expected:
        problems.append(f"round {number}: acknowledged {expected}, pyiceberg sees {theirs}")
    if counted != bumps:
        problems.append(f"round {number}: {bumps} updates acknowledged, {counted} are there")
    return problems
