import logging
import socket

import pytest

from alerts import webhooks
from tests.alerts.receivers import SECRET, receiving

BODY = {"text": "hello"}


@pytest.fixture
def slack():
    with receiving("Slack") as receiver:
        yield receiver


@pytest.fixture
def naps(monkeypatch):
    """How long was waited between attempts; nobody really waits."""
    # So that a busy machine is not taken for a slow receiver.
    monkeypatch.setattr(webhooks, "ATTEMPT_SECONDS", 60.0)
    monkeypatch.setattr(webhooks, "PATIENCE_SECONDS", 240.0)
    return []


def test_what_is_accepted_is_sent_once(slack, naps):
    assert webhooks.deliver(slack.address, BODY, naps.append) == ""

    assert slack.bodies == [BODY]
    assert naps == []


@pytest.mark.parametrize("failure", [(500, {}), (503, {}), (429, {}), "hangs up"], ids=str)
def test_what_another_attempt_may_cure_is_tried_again(slack, naps, failure):
    slack.failures = [failure]

    assert webhooks.deliver(slack.address, BODY, naps.append) == ""

    assert slack.bodies == [BODY]
    assert len(slack.asked_at) == 2


@pytest.mark.parametrize("failure", ["slow", "drips"])
def test_nobody_waits_for_a_receiver_that_does_not_answer(slack, naps, failure, monkeypatch):
    monkeypatch.setattr(webhooks, "ATTEMPT_SECONDS", 0.4)
    slack.failures = [failure] * 3

    problem = webhooks.deliver(slack.address, BODY, naps.append)

    assert problem == "no answer in time (3 attempts)"
    assert slack.bodies == []


def test_the_receiver_says_how_long_to_wait(slack, naps):
    slack.failures = [(429, {"Retry-After": "7"}), (503, {"Retry-After": "2"})]

    assert webhooks.deliver(slack.address, BODY, naps.append) == ""

    assert naps == [7, 2]


def test_nobody_waits_longer_than_there_is_patience(slack, naps):
    slack.failures = [(429, {"Retry-After": "300"})]

    problem = webhooks.deliver(slack.address, BODY, naps.append)

    assert problem == "HTTP 429 Too Many Requests (1 attempt)"
    assert naps == []


def test_a_date_to_wait_for_is_understood_and_nonsense_is_not_waited_for(slack, naps):
    slack.failures = [
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        (503, {"Retry-After": "soon"}),
    ]

    assert webhooks.deliver(slack.address, BODY, naps.append) == ""

    assert naps == [0, 2]


def test_attempts_are_bounded(slack, naps):
    slack.failures = [(500, {})] * 9

    problem = webhooks.deliver(slack.address, BODY, naps.append)

    assert problem == "HTTP 500 Internal Server Error (3 attempts)"
    assert len(slack.asked_at) == 3
    assert naps == [1, 2]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 410])
def test_what_no_attempt_can_cure_is_asked_once_and_no_redirect_is_followed(slack, naps, status):
    slack.failures = [(status, {"Location": slack.address})]

    problem = webhooks.deliver(slack.address, BODY, naps.append)

    assert problem.startswith(f"HTTP {status} ")
    assert len(slack.asked_at) == 1
    assert slack.bodies == []


def test_a_receiver_that_is_away_is_a_problem_and_no_exception(naps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    problem = webhooks.deliver(f"http://127.0.0.1:{port}/x", BODY, naps.append)

    assert problem == "no connection: ConnectionRefusedError (3 attempts)"


def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(slack, naps):
    address = slack.address.replace("http://", "https://")  # answers, but not in TLS

    assert webhooks.deliver(address, BODY, naps.append) == (
        "no TLS connection that can be trusted (1 attempt)"
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        SECRET,
        f"ftp://hooks.example.com/{SECRET}",
        f"http://hooks.example.com/{SECRET}",
        f"https://hooks.example.com:port/{SECRET}",
        f"http://[::1/{SECRET}",
    ],
)
def test_what_is_no_safe_address_is_refused_without_being_named(address, naps):
    problem = webhooks.deliver(address, BODY, naps.append)

    assert "address" in problem
    assert "SECRET" not in problem


def test_nothing_that_is_said_or_logged_holds_the_address(slack, naps, caplog):
    failures = [(500, {}), (404, {}), "hangs up"]
    said = []
    with caplog.at_level(logging.DEBUG):
        for failure in failures:
            slack.failures = [failure] * 3
            said.append(webhooks.deliver(slack.address, BODY, naps.append))
            slack.failures = []
        for strange in (" x", "é", "\x00", " \n"):
            said.append(webhooks.deliver(slack.address + strange, BODY, naps.append))

    assert all(said)
    assert "SECRET" not in caplog.text + str(said)


def test_the_old_webhooks_of_teams_refuse_with_200(slack, naps):
    answer = webhooks._judged(200, "Microsoft Teams endpoint returned HTTP error 429", None)

    assert answer.problem
    assert answer.is_curable
