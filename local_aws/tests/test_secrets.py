"""Secrets Manager, asked by boto3 over a real server."""

import json
import signal
import sqlite3
import stat
import threading
import urllib.error
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError

CANARY = "canary-9f3b1c77e2"


@pytest.fixture(scope="module")
def manager(shared_server):
    return shared_server.client("secretsmanager")


@pytest.fixture
def name() -> str:
    return f"daylight/{uuid.uuid4().hex}"


def code_of(caught) -> str:
    return caught.value.response["Error"]["Code"]


def post(server, action: str, body: bytes) -> tuple[int, dict]:
    request = urllib.request.Request(
        server.url, body, {"X-Amz-Target": f"secretsmanager.{action}"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_created_secret_can_be_read_by_name_and_by_both_forms_of_its_arn(manager, name):
    made = manager.create_secret(Name=name, SecretString="one", Description="d")

    short = made["ARN"][:-7]
    assert short == f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}"
    for wanted in (name, made["ARN"], short):
        found = manager.get_secret_value(SecretId=wanted)
        assert found["SecretString"] == "one"
        assert found["VersionId"] == made["VersionId"]
        assert found["VersionStages"] == ["AWSCURRENT"]
        assert found["CreatedDate"].tzinfo is not None


def test_bytes_come_back_as_bytes(manager, name):
    manager.create_secret(Name=name, SecretBinary=b"\x00\xff")

    found = manager.get_secret_value(SecretId=name)

    assert found["SecretBinary"] == b"\x00\xff"
    assert "SecretString" not in found


def test_a_new_value_is_current_and_the_one_before_it_previous(manager, name):
    first = manager.create_secret(Name=name, SecretString="one")["VersionId"]
    second = manager.put_secret_value(SecretId=name, SecretString="two")
    third = manager.update_secret(SecretId=name, SecretString="three")["VersionId"]

    assert second["VersionStages"] == ["AWSCURRENT"]
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "three"
    before = manager.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")
    assert before["SecretString"] == "two"
    assert manager.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "one"
    assert manager.describe_secret(SecretId=name)["VersionIdsToStages"] == {
        third: ["AWSCURRENT"],
        second["VersionId"]: ["AWSPREVIOUS"],
    }


def test_a_pending_value_does_not_move_the_current_one(manager, name):
    manager.create_secret(Name=name, SecretString="one")

    for text in ("two", "three"):
        manager.put_secret_value(SecretId=name, SecretString=text, VersionStages=["AWSPENDING"])

    assert manager.get_secret_value(SecretId=name)["SecretString"] == "one"
    pending = manager.get_secret_value(SecretId=name, VersionStage="AWSPENDING")
    assert pending["SecretString"] == "three"


def test_the_first_value_is_current_whatever_it_is_called(manager, name):
    manager.create_secret(Name=name)
    with pytest.raises(ClientError, match="staging label: AWSCURRENT") as caught:
        manager.get_secret_value(SecretId=name)
    assert code_of(caught) == "ResourceNotFoundException"

    manager.put_secret_value(SecretId=name, SecretString="one", VersionStages=["AWSPENDING"])

    found = manager.get_secret_value(SecretId=name)
    assert sorted(found["VersionStages"]) == ["AWSCURRENT", "AWSPENDING"]


def test_a_repeated_request_changes_nothing_and_another_value_under_its_token_is_refused(
    manager, name
):
    token = uuid.uuid4().hex
    one = {"SecretString": "one", "ClientRequestToken": token}
    first = manager.create_secret(Name=name, **one)
    assert manager.create_secret(Name=name, **one)["ARN"] == first["ARN"]
    assert manager.put_secret_value(SecretId=name, **one)["VersionId"] == first["VersionId"]
    assert len(manager.describe_secret(SecretId=name)["VersionIdsToStages"]) == 1

    for refused in (
        lambda: manager.create_secret(Name=name, SecretString="one"),
        lambda: manager.create_secret(Name=name, SecretString="two", ClientRequestToken=token),
        lambda: manager.put_secret_value(
            SecretId=name, SecretString="two", ClientRequestToken=token
        ),
    ):
        with pytest.raises(ClientError) as caught:
            refused()
        assert code_of(caught) == "ResourceExistsException"
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "one"


def test_version_and_label_that_do_not_belong_together_are_refused(manager, name):
    first = manager.create_secret(Name=name, SecretString="one")["VersionId"]
    manager.put_secret_value(SecretId=name, SecretString="two")

    with pytest.raises(ClientError) as caught:
        manager.get_secret_value(SecretId=name, VersionId=first, VersionStage="AWSCURRENT")
    assert code_of(caught) == "InvalidRequestException"
    with pytest.raises(ClientError, match="VersionId") as caught:
        manager.get_secret_value(SecretId=name, VersionId="0" * 32)
    assert code_of(caught) == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "act",
    [
        lambda c, n: c.get_secret_value(SecretId=n),
        lambda c, n: c.put_secret_value(SecretId=n, SecretString="x"),
        lambda c, n: c.update_secret(SecretId=n, SecretString="x"),
        lambda c, n: c.describe_secret(SecretId=n),
        lambda c, n: c.delete_secret(SecretId=n),
        lambda c, n: c.restore_secret(SecretId=n),
    ],
)
def test_there_is_no_such_secret(manager, name, act):
    with pytest.raises(manager.exceptions.ResourceNotFoundException):
        act(manager, name)


def test_update_describes_without_a_new_version(manager, name):
    made = manager.create_secret(Name=name, SecretString="one", Tags=[{"Key": "k", "Value": "v"}])

    answer = manager.update_secret(SecretId=name, Description="new", KmsKeyId="alias/x")

    assert "VersionId" not in answer
    told = manager.describe_secret(SecretId=name)
    assert (told["Description"], told["KmsKeyId"]) == ("new", "alias/x")
    assert told["Tags"] == [{"Key": "k", "Value": "v"}]
    assert told["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert told["LastChangedDate"] >= told["CreatedDate"]


def test_a_deleted_secret_can_be_neither_read_nor_replaced_until_it_is_restored(manager, name):
    manager.create_secret(Name=name, SecretString="one")
    gone = manager.delete_secret(SecretId=name, RecoveryWindowInDays=7)

    told = manager.describe_secret(SecretId=name)
    assert told["DeletedDate"] == gone["DeletionDate"]
    assert 6.9 < (gone["DeletionDate"] - told["CreatedDate"]).total_seconds() / 86_400 < 7.1
    for refused in (
        lambda: manager.get_secret_value(SecretId=name),
        lambda: manager.put_secret_value(SecretId=name, SecretString="two"),
        lambda: manager.update_secret(SecretId=name, SecretString="two"),
        lambda: manager.create_secret(Name=name, SecretString="two"),
        lambda: manager.delete_secret(SecretId=name),
    ):
        with pytest.raises(ClientError, match="delet") as caught:
            refused()
        assert code_of(caught) == "InvalidRequestException"

    manager.restore_secret(SecretId=name)

    assert manager.get_secret_value(SecretId=name)["SecretString"] == "one"
    assert "DeletedDate" not in manager.describe_secret(SecretId=name)


def test_a_forced_deletion_is_at_once_and_may_be_repeated(manager, name):
    manager.create_secret(Name=name, SecretString="one")
    manager.delete_secret(SecretId=name)

    for _ in range(2):
        manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    again = manager.create_secret(Name=name, SecretString="two")

    assert manager.get_secret_value(SecretId=name)["SecretString"] == "two"
    assert list(manager.describe_secret(SecretId=name)["VersionIdsToStages"]) == [
        again["VersionId"]
    ]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"RecoveryWindowInDays": 6}, "InvalidParameterException"),
        ({"RecoveryWindowInDays": 31}, "InvalidParameterException"),
        (
            {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True},
            "InvalidParameterException",
        ),
    ],
)
def test_delete_refuses_a_window_that_aws_refuses(manager, name, wrong, code):
    manager.create_secret(Name=name, SecretString="one")

    with pytest.raises(ClientError) as caught:
        manager.delete_secret(SecretId=name, **wrong)

    assert code_of(caught) == code
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "one"


def test_a_secret_is_gone_for_good_when_its_window_is_over(start_server, name):
    server = start_server()
    manager = server.client("secretsmanager")
    manager.create_secret(Name=name, SecretString="one")
    manager.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    server.stop()
    with sqlite3.connect(server.data / "state.sqlite") as state:
        state.execute("update secrets set deleted = deleted - 8 * 86400")
    state.close()

    again = start_server().client("secretsmanager")

    with pytest.raises(again.exceptions.ResourceNotFoundException):
        again.restore_secret(SecretId=name)
    again.create_secret(Name=name)
    assert again.describe_secret(SecretId=name)["VersionIdsToStages"] == {}


def test_list_pages_filters_and_sorts(start_server):
    manager = start_server().client("secretsmanager")
    for each in ("b/2", "a/1", "b/1", "a/2", "c"):
        manager.create_secret(Name=each, SecretString="x", Description=f"of {each}")
    manager.delete_secret(SecretId="c")

    def listed(**asked) -> list[str]:
        pages = manager.get_paginator("list_secrets").paginate(
            PaginationConfig={"PageSize": 2}, **asked
        )
        return [secret["Name"] for page in pages for secret in page["SecretList"]]

    assert listed() == ["b/2", "a/1", "b/1", "a/2"]
    assert listed(SortBy="name", SortOrder="desc") == ["b/2", "b/1", "a/2", "a/1"]
    assert listed(IncludePlannedDeletion=True, SortBy="name")[-1] == "c"
    assert listed(Filters=[{"Key": "name", "Values": ["b/"]}]) == ["b/2", "b/1"]
    assert listed(Filters=[{"Key": "name", "Values": ["!b/"]}]) == ["a/1", "a/2"]
    assert listed(Filters=[{"Key": "description", "Values": ["of a/1"]}]) == ["a/1"]
    with pytest.raises(ClientError, match="filters by name"):
        listed(Filters=[{"Key": "owning-service", "Values": ["x"]}])
    with pytest.raises(ClientError) as caught:
        manager.list_secrets(NextToken="bm9uZQ==")
    assert code_of(caught) == "InvalidNextTokenException"
    assert "x" not in {s.get("SecretString") for s in manager.list_secrets()["SecretList"]}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"Name": "a b"}, "ValidationException"),
        ({"SecretString": "x" * 65_537}, "ValidationException"),
        ({"SecretBinary": b"x" * 65_537}, "ValidationException"),
        ({"SecretString": "x", "SecretBinary": b"x"}, "InvalidParameterException"),
        ({"ClientRequestToken": "!" * 32, "SecretString": "x"}, "InvalidParameterException"),
        ({"AddReplicaRegions": [{"Region": "eu-west-1"}]}, "InvalidParameterException"),
    ],
)
def test_create_refuses_what_it_cannot_keep(manager, name, wrong, code):
    with pytest.raises(ClientError) as caught:
        manager.create_secret(**{"Name": name, **wrong})

    assert code_of(caught) == code
    with pytest.raises(manager.exceptions.ResourceNotFoundException):
        manager.describe_secret(SecretId=name)


def test_as_much_as_aws_holds_fits(manager, name):
    manager.create_secret(Name=name, SecretString="é" * 32_768)

    assert manager.get_secret_value(SecretId=name)["SecretString"] == "é" * 32_768


@pytest.mark.parametrize("action", ["RotateSecret", "GetRandomPassword", "Nonsense"])
def test_an_action_that_is_not_here_is_refused_by_name(shared_server, action):
    status, answer = post(shared_server, action, b"{}")

    assert status == 400
    assert answer["__type"] == "UnknownOperationException"
    assert action in answer["message"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_secrets_are_there_after_a_restart(start_server, name, how):
    server = start_server()
    manager = server.client("secretsmanager")
    made = manager.create_secret(Name=name, SecretString="one")
    manager.put_secret_value(SecretId=name, SecretString="two")
    server.stop(how)

    again = start_server().client("secretsmanager")

    assert again.get_secret_value(SecretId=name)["SecretString"] == "two"
    previous = again.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")
    assert (previous["SecretString"], previous["ARN"]) == ("one", made["ARN"])


def test_the_files_that_hold_secrets_are_their_owners_alone(start_server, name):
    server = start_server()
    server.client("secretsmanager").create_secret(Name=name, SecretString="one")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in server.data.glob("state*")}

    assert set(modes.values()) == {0o600}, modes


def test_racing_puts_leave_one_current_value_and_one_previous(manager, name):
    manager.create_secret(Name=name, SecretString="0")
    barrier = threading.Barrier(8)

    def put(number: int) -> None:
        barrier.wait()
        manager.put_secret_value(SecretId=name, SecretString=str(number))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    labels = manager.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert sorted(labels.values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]


def test_no_value_reaches_the_log_or_an_error(start_server, name):
    server = start_server("data", "--log-sql")
    manager = server.client("secretsmanager")
    manager.create_secret(Name=name, SecretString=CANARY)
    manager.put_secret_value(SecretId=name, SecretBinary=CANARY.encode())
    answers = []
    token = uuid.uuid4().hex
    for body in (
        {"SecretString": {CANARY: 1}},
        {"SecretString": [CANARY]},
        {"SecretBinary": CANARY + "?"},
        {"SecretString": CANARY + "\ud800"},
        {"SecretString": CANARY * 9999},
        {"SecretString": CANARY, "SecretBinary": CANARY},
        {"SecretString": CANARY, "VersionStages": {CANARY: 1}},
        {"SecretString": CANARY, "ClientRequestToken": 7},
    ):
        asked = {"SecretId": name, "ClientRequestToken": token, **body}
        answers.append(post(server, "PutSecretValue", json.dumps(asked).encode()))
    answers.append(post(server, "PutSecretValue", f'{{"SecretString": "{CANARY}'.encode()))

    assert [status for status, _ in answers] == [400] * len(answers), answers
    assert CANARY not in json.dumps([answer for _, answer in answers])
    code, log = server.stop()
    assert code == 0
    assert CANARY not in log, log
    # It was kept, though, so the search above is one that could find it.
    assert CANARY.encode() in b"".join(p.read_bytes() for p in server.data.glob("state*"))


def test_an_unforeseen_failure_shows_no_value_either(start_server, name):
    server = start_server()
    manager = server.client("secretsmanager")
    manager.create_secret(Name=name, SecretString="one")
    with sqlite3.connect(server.data / "state.sqlite") as state:
        state.execute("drop table secret_versions")
    state.close()

    status, answer = post(
        server,
        "PutSecretValue",
        json.dumps(
            {"SecretId": name, "SecretString": CANARY, "ClientRequestToken": uuid.uuid4().hex}
        ).encode(),
    )

    assert status == 500
    assert answer["__type"] == "InternalServerException"
    log = server.stop()[1]
    assert "failed target=secretsmanager.PutSecretValue" in log
    assert CANARY not in log + json.dumps(answer)


def test_a_failed_update_changes_nothing(manager, name):
    token = uuid.uuid4().hex
    manager.create_secret(
        Name=name, SecretString="one", Description="old", ClientRequestToken=token
    )

    with pytest.raises(ClientError):
        manager.update_secret(
            SecretId=name, Description="new", SecretString="two", ClientRequestToken=token
        )

    assert manager.describe_secret(SecretId=name)["Description"] == "old"


def test_the_oldest_values_without_a_label_are_forgotten_beyond_a_hundred(manager, name):
    first = manager.create_secret(Name=name, SecretString="first")["VersionId"]
    for number in range(99):
        manager.put_secret_value(SecretId=name, SecretString=str(number))
    assert manager.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "first"

    manager.put_secret_value(SecretId=name, SecretString="last")

    with pytest.raises(manager.exceptions.ResourceNotFoundException):
        manager.get_secret_value(SecretId=name, VersionId=first)
    assert manager.get_secret_value(SecretId=name)["SecretString"] == "last"
