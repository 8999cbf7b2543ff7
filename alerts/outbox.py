"""Where a message waits until each channel has it: written before it is sent, removed after.

So a message is sent at least once, whoever is killed in between, and one that cannot be delivered
can be seen: in Airflow (Admin, Variables), on the site, and as a red run of ``deliver_alerts``.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.observability import stats

from alerts import memory, webhooks
from alerts.messages import Message, slack, teams

logger = logging.getLogger(__name__)

UNSENT = "alert_unsent."
INCIDENT = "incident."

ROUNDS = 24
"""After so many fruitless rounds (twelve hours of ``deliver_alerts``) a message is given up."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A room that people read; it is on when its Airflow connection exists."""

    name: str
    connection_id: str
    """The webhook's address is this connection's password: masked in logs and in the UI."""

    rendered: Callable[[Message], dict[str, Any]]


CHANNELS = (
    Channel("Slack", "daylight_slack", slack),
    Channel("Teams", "daylight_teams", teams),
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way to one channel."""

    key: str
    channel: str
    message: Message
    since: str
    rounds: int = 0
    problem: str = ""

    @property
    def is_given_up(self) -> bool:
        """Whether nobody tries any more."""
        return self.rounds >= ROUNDS

    def document(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            "channel": self.channel,
            "message": self.message.document(),
            "since": self.since,
            "rounds": self.rounds,
            "problem": self.problem,
        }


def post(message: Message, run_id: str) -> None:
    """Send a message to every channel that is on; what cannot be sent now waits in the outbox.

    Safe to run again: a message of the same run and kind that still waits is not doubled.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    letters = []
    for channel in CHANNELS:
        connection = _connection(channel)
        if connection is None or (message.kind == "succeeded" and not _wants_success(connection)):
            continue
        name = f"{channel.name} {message.kind} {message.title} {run_id}"
        key = f"{UNSENT}{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        letters.append(Letter(key, channel.name, message, since))
    # All of them first: being killed while one channel is slow must not cost the other its letter.
    for letter in letters:
        _keep(letter)
    for letter in letters:
        _send(letter)


def deliver_again() -> tuple[int, list[Letter]]:
    """Try once more what waits; return how much was sent, and what still waits or was given up now.

    Oldest first. A channel that refuses one letter is not asked for the others in this round.
    """
    sent, unsent = 0, []
    broken: dict[str, str] = {}
    waiting = sorted(_letters(), key=lambda letter: letter.since)
    for letter in waiting:
        if letter.is_given_up:
            continue
        if problem := broken.get(letter.channel):
            failed = replace(letter, rounds=letter.rounds + 1, problem=problem)
            _keep(failed)
        elif (failed := _send(letter)) is None:
            sent += 1
            continue
        broken[letter.channel] = failed.problem
        unsent.append(failed)
    return sent, unsent


def standing(but: str = "") -> dict[str, Any]:
    """Return what is wrong now, for the site: open incidents, and messages that nobody got.

    The incident of the DAG ``but`` is left out: of the one that asks, because its run is not over.
    """
    incidents = [
        {"dag_id": key.removeprefix(INCIDENT), **document}
        for key in memory.keys(INCIDENT)
        if key != INCIDENT + but and (document := memory.read(key))
    ]
    letters = [
        {
            "channel": letter.channel,
            "title": letter.message.title,
            "since": letter.since,
            "problem": letter.problem,
            "is_given_up": letter.is_given_up,
        }
        for letter in _letters()
    ]
    return {"incidents": incidents, "undelivered": letters}


def _send(letter: Letter) -> Letter | None:
    """Send one letter; return it with its problem if it could not be delivered."""
    channel = next(each for each in CHANNELS if each.name == letter.channel)
    connection = _connection(channel)
    if connection is None:
        logger.warning("dropped channel=%s: its connection is gone", channel.name)
        memory.forget(letter.key)
        return None
    address = str(connection.password or "").strip()
    problem = webhooks.deliver(address, channel.rendered(letter.message))
    if not problem:
        logger.info("told channel=%s kind=%s", channel.name, letter.message.kind)
        memory.forget(letter.key)
        return None
    failed = replace(letter, rounds=letter.rounds + 1, problem=problem)
    logger.error(
        "not delivered channel=%s kind=%s title=%s problem=%s round=%d of %d",
        channel.name,
        letter.message.kind,
        letter.message.title,
        problem,
        failed.rounds,
        ROUNDS,
    )
    stats.incr("daylight.alert_not_delivered", tags={"channel": channel.name})
    _keep(failed)
    return failed


def _keep(letter: Letter) -> None:
    state = "given up" if letter.is_given_up else "waits"
    description = f"{letter.channel}: {letter.message.title} ({state})"
    try:
        memory.write(letter.key, letter.document(), description[:250])
    except Exception as error:
        # Airflow's API may be what is broken. The message is sent even so, only not again.
        logger.warning("cannot keep a letter: %s", type(error).__name__)


def _letters() -> list[Letter]:
    found = []
    for key in memory.keys(UNSENT):
        if document := memory.read(key):  # else another round has just delivered it
            message = Message.of(document.pop("message"))
            found.append(Letter(key=key, message=message, **document))
    return found


def _connection(channel: Channel) -> Any:
    try:
        return Connection.get(channel.connection_id)
    except AirflowNotFoundException:
        return None


def _wants_success(connection: Any) -> bool:
    try:
        return bool(json.loads(connection.extra or "{}").get("on_success"))
    except (ValueError, AttributeError):
        return False
