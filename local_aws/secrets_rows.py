"""Secrets, their versions and staging labels, in the Store's SQLite.

Values are kept as they came: whoever may read the data folder may read them.
"""

from __future__ import annotations

import json
import secrets
import string
import time
from dataclasses import dataclass, field

from local_aws.glue import ACCOUNT_ID, Json
from local_aws.secrets_errors import exists
from local_aws.store import Store

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"

_ARN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT_ID}:secret:"
_KEPT_VERSIONS = 100
_TABLES = (
    """create table if not exists secrets (
        name text primary key, arn text not null, deleted real, body text not null
    ) without rowid""",
    """create table if not exists secret_versions (
        name text not null, id text not null, created real not null, stages text not null,
        kind text not null, value text not null, primary key (name, id)
    ) without rowid""",
)


@dataclass(frozen=True, slots=True)
class Version:
    """One value that a secret has or had."""

    id: str
    created: float
    stages: list[str]
    kind: str
    """SecretString or SecretBinary."""
    value: str = field(repr=False)


class Secrets:
    """All secrets of one Store; joins the transaction of ``store.write()``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.write() as db:
            for table in _TABLES:
                db.execute(table)

    def all(self) -> list[Json]:
        """What may be told about every secret, by name."""
        rows = self._store.read("select body from secrets order by name")
        return [dict(json.loads(body)) for (body,) in rows]

    def find(self, wanted: str) -> Json | None:
        """The secret of a name, an ARN, or an ARN without its last six characters."""
        rows = self._store.read(
            "select body from secrets where arn = ? or name = ? order by arn = ? desc",
            (wanted, wanted.removeprefix(_ARN), wanted),
        )
        return dict(json.loads(rows[0][0])) if rows else None

    def new(self, name: str, about: Json) -> Json:
        """Make a secret without a version."""
        suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
        now = time.time()
        dates = {"CreatedDate": now, "LastChangedDate": now}
        body = {"ARN": f"{arn(name)}-{suffix}", "Name": name, **dates, **about}
        self.save(body)
        return body

    def save(self, body: Json) -> None:
        """Insert or replace what may be told about a secret."""
        with self._store.write() as db:
            db.execute(
                "insert or replace into secrets values (?, ?, ?, ?)",
                (body["Name"], body["ARN"], body.get("DeletedDate"), json.dumps(body)),
            )

    def delete(self, name: str) -> None:
        """Forget a secret and all its versions."""
        with self._store.write() as db:
            db.execute("delete from secret_versions where name = ?", (name,))
            db.execute("delete from secrets where name = ?", (name,))

    def delete_overdue(self) -> None:
        """Forget the secrets whose time to be restored is over."""
        overdue = "select name from secrets where deleted <= ?"
        for (name,) in self._store.read(overdue, (time.time(),)):
            self.delete(name)

    def versions(self, name: str) -> dict[str, Version]:
        """A secret's versions by id, oldest first."""
        rows = self._store.read(
            "select id, created, stages, kind, value from secret_versions where name = ?"
            " order by created, id",
            (name,),
        )
        return {row[0]: Version(row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows}

    def labels(self, name: str) -> dict[str, list[str]]:
        """The labels of the versions that have any."""
        return {v.id: v.stages for v in self.versions(name).values() if v.stages}

    def add(self, secret: Json, token: str, given: tuple[str, str], stages: list[str]) -> Version:
        """Add a version and move the labels to it; a repetition of the same changes nothing."""
        name = secret["Name"]
        before = self.versions(name)
        if (known := before.get(token)) is not None:
            if (known.kind, known.value) == given:
                return known
            raise exists(
                f"You can't use ClientRequestToken {token} because that value is already in use "
                f"for a version of secret {secret['ARN']}."
            )
        if not any(CURRENT in version.stages for version in before.values()):
            stages = list(dict.fromkeys([*stages, CURRENT]))
        left = {v.id: _without(v.stages, stages) for v in before.values()}
        unlabelled = [version_id for version_id, labels in left.items() if not labels]
        surplus = max(0, len(left) + 1 - _KEPT_VERSIONS)
        added = Version(token, time.time(), stages, *given)
        with self._store.write() as db:
            db.executemany(
                "update secret_versions set stages = ? where name = ? and id = ?",
                [(json.dumps(labels), name, version_id) for version_id, labels in left.items()],
            )
            db.executemany(
                "delete from secret_versions where name = ? and id = ?",
                [(name, version_id) for version_id in unlabelled[:surplus]],
            )
            db.execute(
                "insert into secret_versions values (?, ?, ?, ?, ?, ?)",
                (name, token, added.created, json.dumps(stages), *given),
            )
        self.save(secret | {"LastChangedDate": added.created})
        return added


def arn(name: str) -> str:
    """The ARN of a name, without the six characters that tell a secret from its successor."""
    return f"{_ARN}{name}"


def _without(labels: list[str], moved: list[str]) -> list[str]:
    """What is left of a version's labels when ``moved`` go to a new version."""
    left = [label for label in labels if label not in moved]
    if CURRENT in moved:
        left = [label for label in left if label != PREVIOUS]
        left += [PREVIOUS] if CURRENT in labels else []
    return left
