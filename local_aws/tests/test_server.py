import signal
import socket
import subprocess
import sys
import threading

import pytest
from botocore.exceptions import ClientError

from .athena import Athena
from .conftest import ROOT


def start_and_fail(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "local_aws", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def assert_one_sentence(failed: subprocess.CompletedProcess, *words: str) -> None:
    assert failed.returncode == 1, failed
    assert failed.stdout == ""
    assert len(failed.stderr.splitlines()) == 1, failed.stderr
    for word in words:
        assert word in failed.stderr


def test_it_says_when_it_is_ready(start_server):
    server = start_server()

    assert server.ready_line.startswith(f"local_aws is ready on http://127.0.0.1:{server.port} ")
    assert server.client("s3").list_buckets()["Buckets"] == []


def test_help_names_every_option_and_how_clients_find_it():
    helped = start_and_fail("--help")

    assert helped.returncode == 0
    for word in ("--data DIR", "--port N", "--host", "--log-sql", "AWS_ENDPOINT_URL", "Athena"):
        assert word in helped.stdout


def test_the_log_has_a_line_for_each_query(start_server):
    server = start_server()
    server.client("s3").create_bucket(Bucket="logged")
    athena = Athena(server, "logged", "default")
    done = athena.run("select 1 +\n 1 as two")["QueryExecutionId"]
    athena.failure("select nothing")

    _, log = server.stop()

    first, second = (line for line in log.splitlines() if "query=" in line)
    assert f"query={done} state=SUCCEEDED ms=" in first
    assert "scanned=0" in first
    assert first.endswith("sql=select 1 + 1 as two")
    assert "state=FAILED" in second
    assert "reason=COLUMN_NOT_FOUND" in second


def test_the_log_can_tell_what_ran_for_a_query(start_server):
    server = start_server("data", "--log-sql")
    server.client("s3").create_bucket(Bucket="logged")
    done = Athena(server, "logged", "default").run("select date_diff('day', current_date, "
                                                   "current_date)")  # fmt: skip

    _, log = server.stop()

    assert f"query={done['QueryExecutionId']} duckdb=SELECT" in log


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(start_server, how):
    server = start_server()
    server.client("s3").create_bucket(Bucket="lake")

    assert server.stop(how) == (0, "")


def test_it_listens_on_loopback_alone(start_server):
    server = start_server()
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.connect(("192.0.2.1", 9))  # sends nothing; tells which address we would use
    address = elsewhere.getsockname()[0]
    elsewhere.close()

    assert not address.startswith("127."), "this machine has no address besides loopback"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, server.port), timeout=5)


def test_a_taken_port_is_one_sentence(start_server, tmp_path):
    server = start_server()

    failed = start_and_fail("--data", str(tmp_path / "other"), "--port", str(server.port))

    assert_one_sentence(failed, f"Port {server.port}", "in use", "--port")


def test_a_folder_in_use_is_one_sentence(start_server):
    server = start_server()

    failed = start_and_fail("--data", str(server.data), "--port", "0")

    assert_one_sentence(failed, str(server.data), "in use by another local_aws", "--data")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")

    failed = start_and_fail("--data", str(tmp_path / "file" / "data"), "--port", "0")

    assert_one_sentence(failed, "cannot be written", "Not a directory")


def test_a_damaged_state_is_one_sentence(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"no database" * 1000)

    failed = start_and_fail("--data", str(tmp_path), "--port", "0")

    assert_one_sentence(failed, "state.sqlite is damaged", "not a database")


def test_a_folder_that_cannot_be_written_is_one_sentence():
    failed = start_and_fail("--data", "/proc/local_aws", "--port", "0")

    assert_one_sentence(failed, "/proc/local_aws cannot be written")


def test_two_copies_on_two_folders_do_not_meet(start_server):
    """The same names on both, at the same time: each has its own objects, tables and history."""
    servers = {"one": start_server("one"), "two": start_server("two")}
    seen: dict[str, list] = {}

    def work(name: str) -> None:
        server = servers[name]
        server.client("s3").create_bucket(Bucket="lake")
        server.client("s3").put_object(Bucket="lake", Key="k", Body=name.encode())
        server.client("glue").create_database(DatabaseInput={"Name": "d"})
        athena = Athena(server, "lake", "d")
        athena.run(
            "create table t with (table_type='iceberg', is_external=false, "
            f"location='s3://lake/t/') as select '{name}' as x"
        )
        for _ in range(5):
            athena.run(f"insert into t values '{name}'")
        seen[name] = athena.rows("select x, count(*) from t group by x")

    threads = [threading.Thread(target=work, args=(name,)) for name in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == {"one": [("one", "6")], "two": [("two", "6")]}
    servers["one"].stop(signal.SIGKILL)
    two = servers["two"]
    body = two.client("s3").get_object(Bucket="lake", Key="k")["Body"].read()
    assert body == b"two"
    assert len(two.client("athena").list_query_executions()["QueryExecutionIds"]) == 7


def test_everything_is_there_after_a_restart(start_server):
    server = start_server()
    server.client("s3").create_bucket(Bucket="lake")
    server.client("s3").put_object(Bucket="lake", Key="k", Body=b"x")
    server.client("glue").create_database(DatabaseInput={"Name": "d"})
    server.client("glue").create_table(DatabaseName="d", TableInput={"Name": "t"})
    server.stop()

    again = start_server()

    assert again.client("s3").get_object(Bucket="lake", Key="k")["Body"].read() == b"x"
    assert again.client("glue").get_table(DatabaseName="d", Name="t")["Table"]["VersionId"] == "0"


def test_sts_names_the_account(shared_server):
    identity = shared_server.client("sts").get_caller_identity()

    assert identity["Account"] == "123456789012"
    with pytest.raises(ClientError, match="does not implement the action AssumeRole"):
        shared_server.client("sts").assume_role(
            RoleArn="arn:aws:iam::123456789012:role/x", RoleSessionName="test"
        )


def test_a_service_that_is_missing_is_refused_by_name(shared_server):
    with pytest.raises(ClientError, match="has no service TrentService"):
        shared_server.client("kms").list_keys()
