"""Secrets Manager as it is read: the stand-in where it answers, a server of errors where not."""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import boto3
import botocore.endpoint
import pytest
from cryptography.fernet import Fernet

from ingestion import ConfigError, LakeUnavailable, Settings, secret_store
from ingestion.keys import KeyRing
from ingestion.privacy import Pseudonyms
from tests.ingestion.envelopes import PSEUDONYM_KEY, pseudonym, seal

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def manager(local_aws: str):
    return boto3.client("secretsmanager", endpoint_url=local_aws, region_name="us-east-1")


@pytest.fixture
def name() -> str:
    return f"daylight/{secrets.token_hex(8)}"


@pytest.fixture
def asking(local_aws: str, make_settings: Callable[..., Settings], name: str) -> Settings:
    return make_settings(AWS_ENDPOINT_URL=local_aws, FERNET_KEYS_FILE="", FERNET_KEYS_SECRET=name)


@contextmanager
def answering(*answers: tuple[int, str], asked: list[str] | None = None) -> Iterator[str]:
    """A server that gives these answers in turn, and then the last one for ever."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if asked is not None:
                asked.append(self.headers["X-Amz-Target"])
            status, text = left.pop(0) if len(left) > 1 else left[0]
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two attempts."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "test")


def test_each_run_reads_the_value_that_is_current_then(manager, asking: Settings, name: str):
    made = manager.create_secret(Name=name, SecretString=OLD)
    tokens = seal(OLD, "old"), seal(NEW, "new")

    before = KeyRing.of(asking)
    manager.put_secret_value(
        SecretId=name,
        SecretString=json.dumps(
            {"keys": [{"key": NEW, "state": "primary"}, {"key": OLD, "state": "decrypt-only"}]}
        ),
    )
    after = KeyRing.of(asking)

    assert [before.open(token) is not None for token in tokens] == [True, False]
    assert [after.open(token) is not None for token in tokens] == [True, True]
    assert after.describe() == f"the secret {name}"
    assert secret_store.read(asking, made["ARN"], "X").startswith('{"keys"')


def test_a_value_that_is_only_pending_is_not_used(manager, asking: Settings, name: str):
    manager.create_secret(Name=name, SecretString=OLD)
    manager.put_secret_value(SecretId=name, SecretString=NEW, VersionStages=["AWSPENDING"])

    assert KeyRing.of(asking).fingerprints == KeyRing([OLD]).fingerprints


def test_the_pseudonym_key_may_be_a_secret_too(
    manager, local_aws: str, make_settings: Callable[..., Settings], name: str
):
    manager.create_secret(Name=name, SecretString=PSEUDONYM_KEY.hex() + "\n")
    made = make_settings(
        AWS_ENDPOINT_URL=local_aws, PSEUDONYM_KEY_FILE="", PSEUDONYM_KEY_SECRET=name
    )

    assert Pseudonyms.of_settings(made).of("a") == pseudonym("a")


def test_a_secret_that_is_not_there_is_the_operator_s_to_mend(asking: Settings, name: str):
    with pytest.raises(ConfigError, match="ResourceNotFoundException") as caught:
        KeyRing.of(asking)

    assert f"the secret {name} in us-east-1 (FERNET_KEYS_SECRET)" in str(caught.value)
    assert "there is no such secret" in str(caught.value)


def test_a_secret_marked_for_deletion_says_so(manager, asking: Settings, name: str):
    manager.create_secret(Name=name, SecretString=OLD)
    manager.delete_secret(SecretId=name)

    with pytest.raises(ConfigError, match="marked for deletion; restore it"):
        KeyRing.of(asking)


def test_bytes_are_no_ring(manager, asking: Settings, name: str):
    manager.create_secret(Name=name, SecretBinary=OLD.encode())

    with pytest.raises(ConfigError, match=r"holds no text .* SecretString"):
        KeyRing.of(asking)


def test_a_bad_ring_in_a_secret_is_named_and_not_shown(manager, asking: Settings, name: str):
    manager.create_secret(Name=name, SecretString=f"{OLD}\n{NEW[:-3]}")

    with pytest.raises(ConfigError, match="Key 2 of the ring is no Fernet key") as caught:
        KeyRing.of(asking)

    assert str(caught.value).startswith(f"the secret {name}: ")
    assert NEW[:8] not in str(caught.value)


def test_no_log_shows_the_secret_even_at_debug(
    manager, asking: Settings, name: str, caplog: pytest.LogCaptureFixture
):
    manager.create_secret(Name=name, SecretString=OLD)
    level = logging.getLogger("botocore.parsers").level

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="botocore"):
        KeyRing.of(asking)

    assert "GetSecretValue" in caplog.text  # so it was botocore's debugging that was caught
    assert OLD[:8] not in caplog.text
    assert logging.getLogger("botocore.parsers").level == level


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "AccessDeniedException", ConfigError),
        (400, "DecryptionFailure", ConfigError),
        (400, "InvalidParameterException", ConfigError),
        (400, "UnrecognizedClientException", ConfigError),
        (400, "ThrottlingException", LakeUnavailable),
        (429, "TooManyRequestsException", LakeUnavailable),
        (400, "InternalServiceError", LakeUnavailable),
        (500, "InternalServiceError", LakeUnavailable),
        (503, "ServiceUnavailable", LakeUnavailable),
    ],
)
def test_what_a_retry_may_cure_is_retryable_and_nothing_else(
    status: int, code: str, kind: type[Exception], make_settings: Callable[..., Settings]
):
    body = json.dumps({"__type": code, "message": "canary"})
    with answering((status, body)) as url, pytest.raises(kind) as caught:
        secret_store.read(make_settings(AWS_ENDPOINT_URL=url), "daylight/x", "X")

    assert f"{code} ({status})" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_short_failure_is_passed_over(make_settings: Callable[..., Settings]):
    asked: list[str] = []
    broken = (500, json.dumps({"__type": "InternalServiceError"}))
    throttled = (400, json.dumps({"__type": "ThrottlingException"}))
    good = (200, json.dumps({"SecretString": OLD}))

    with answering(broken, throttled, broken, good, asked=asked) as url:
        text = secret_store.read(make_settings(AWS_ENDPOINT_URL=url), "daylight/x", "X")

    assert text == OLD
    assert asked == ["secretsmanager.GetSecretValue"] * 4


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_is_no_json_is_an_error_of_ours(make_settings: Callable[..., Settings]):
    with answering((200, "<html>canary")) as url, pytest.raises(LakeUnavailable) as caught:
        secret_store.read(make_settings(AWS_ENDPOINT_URL=url), "daylight/x", "X")

    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_nobody_there_is_retryable(make_settings: Callable[..., Settings]):
    with answering((200, "{}")) as url:
        pass

    with pytest.raises(LakeUnavailable, match="Is AWS_ENDPOINT_URL right"):
        secret_store.read(make_settings(AWS_ENDPOINT_URL=url), "daylight/x", "X")
