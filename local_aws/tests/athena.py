"""A small Athena client for tests: run a statement, wait, fetch."""

import time


class Failed(Exception):
    """The statement ended FAILED or CANCELLED; the text is the StateChangeReason."""


class Athena:
    def __init__(self, server, bucket: str, database: str) -> None:
        self.client = server.client("athena")
        self.bucket, self.database = bucket, database

    def start(self, sql: str, **options) -> str:
        return self.client.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.database},
            ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results/"},
            **options,
        )["QueryExecutionId"]

    def wait(self, query_id: str) -> dict:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if found["Status"]["State"] not in ("QUEUED", "RUNNING"):
                return found
            time.sleep(0.005)
        raise AssertionError("the query did not end in 60 s")

    def run(self, sql: str, **options) -> dict:
        execution = self.wait(self.start(sql, **options))
        if execution["Status"]["State"] != "SUCCEEDED":
            raise Failed(execution["Status"]["StateChangeReason"])
        return execution

    def rows(self, sql: str, **options) -> list[tuple]:
        """A query's rows as text, without the header."""
        found = self.results(self.run(sql, **options)["QueryExecutionId"])
        return [tuple(c.get("VarCharValue") for c in row["Data"]) for row in found["Rows"][1:]]

    def value(self, sql: str, **options) -> str | None:
        """The one value of a query."""
        ((value,),) = self.rows(sql, **options)
        return value

    def results(self, query_id: str) -> dict:
        return self.client.get_query_results(QueryExecutionId=query_id)["ResultSet"]

    def types(self, sql: str) -> list[str]:
        found = self.results(self.run(sql)["QueryExecutionId"])
        return [column["Type"] for column in found["ResultSetMetadata"]["ColumnInfo"]]

    def failure(self, sql: str, **options) -> str:
        """Why a statement fails."""
        execution = self.wait(self.start(sql, **options))
        assert execution["Status"]["State"] == "FAILED", f"Athena refuses this, we did not: {sql}"
        return execution["Status"]["StateChangeReason"]
