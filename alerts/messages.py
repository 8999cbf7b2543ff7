"""What is said, and how Slack and Teams want it. Pure.

A message is made of names, counts, times and the runbook's own words. No exception, no rendered
field, no parameter and no value of a record can get into it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Kind = Literal["failed", "late", "recovered", "succeeded"]

NAMES_SHOWN = 10
"""Red tasks that are named; the run's page has them all."""

_SYMBOLS = {"failed": "🔴", "late": "🟠", "recovered": "🟢", "succeeded": "🟢"}
_TEAMS_COLOURS = {
    "failed": "Attention",
    "late": "Warning",
    "recovered": "Good",
    "succeeded": "Good",
}

_NAME = 100
_SLACK_TITLE = 150
_SLACK_TEXT = 2_900  # of 3,000 per section
_SLACK_FIELD = 1_900  # of 2,000
_TEAMS_TEXT = 2_000  # a card has 28 KB for everything


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to say, in no particular dialect."""

    kind: Kind
    title: str
    facts: tuple[tuple[str, str], ...]
    advice: str
    """What the runbook says to do; empty when there is nothing to do."""

    links: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what ``document`` returned."""
        pairs = {
            name: tuple((str(key), str(value)) for key, value in document[name])
            for name in ("facts", "links")
        }
        return cls(document["kind"], document["title"], advice=document["advice"], **pairs)

    def document(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return asdict(self)


def impact(runbook: str) -> str:
    """Return what the runbook says is hurt."""
    return _row(runbook, "**Impact**")


def advice(runbook: str, tasks: Sequence[str], kinds: Mapping[str, str]) -> str:
    """Return what the runbook says of the first of these tasks; ``kinds``: task → model or test."""
    for task in tasks:
        said = _row(runbook, f"**If `{task.rsplit('.', 1)[-1]}` fails**")
        if not said and task in kinds:
            said = _row(runbook, f"**If a {kinds[task]} fails**")
        if said:
            return said
    return ""


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence, not more than people read."""
    more = len(names) - NAMES_SHOWN
    shown = [_cut(name, _NAME) for name in names[:NAMES_SHOWN]]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def slack(message: Message) -> dict[str, Any]:
    """Return the body of Slack's incoming webhook: blocks, and the text of the notification."""

    def plain(text: str, limit: int = 75) -> dict[str, Any]:
        return {"type": "plain_text", "text": _cut(text, limit), "emoji": True}

    def marked(text: str, limit: int) -> dict[str, Any]:
        return {"type": "mrkdwn", "text": _cut(text, limit)}

    title = f"{_SYMBOLS[message.kind]} {message.title}"
    fields = [
        marked(f"*{_slack_safe(name)}*\n{_slack_safe(value)}", _SLACK_FIELD)
        for name, value in message.facts
    ]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": plain(title, _SLACK_TITLE)}]
    # A section takes ten fields.
    blocks += [
        {"type": "section", "fields": fields[start : start + 10]}
        for start in range(0, len(fields), 10)
    ]
    if message.advice:
        blocks.append({"type": "section", "text": marked(_slack_safe(message.advice), _SLACK_TEXT)})
    buttons = [
        {"type": "button", "text": plain(name), "url": url, "action_id": f"link_{place}"}
        for place, (name, url) in enumerate(message.links)
    ]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": _slack_safe(_cut(title, _SLACK_TITLE)), "blocks": blocks}


def teams(message: Message) -> dict[str, Any]:
    """Return the body of Teams' workflow webhook: an adaptive card in a message."""
    title = f"{_SYMBOLS[message.kind]} {message.title}"
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _cut(title, _SLACK_TITLE),
            "size": "Large",
            "weight": "Bolder",
            "color": _TEAMS_COLOURS[message.kind],
            "wrap": True,
        },
        {
            "type": "FactSet",
            "facts": [
                {"title": name, "value": _cut(value, _TEAMS_TEXT)} for name, value in message.facts
            ],
        },
    ]
    if message.advice:
        # Cards know no code marks.
        text = _cut(message.advice.replace("`", ""), _TEAMS_TEXT)
        body.append({"type": "TextBlock", "text": text, "wrap": True})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": name, "url": url} for name, url in message.links
        ],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _row(runbook: str, name: str) -> str:
    found = re.search(rf"^\| {re.escape(name)} \|(.+)\|\s*$", runbook, re.MULTILINE)
    return found[1].strip() if found else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _slack_safe(text: str) -> str:
    # These three are all of Slack's control characters; without it <!channel> would wake everybody.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
