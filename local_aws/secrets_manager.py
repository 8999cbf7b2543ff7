"""Secrets Manager's JSON API; times are epoch seconds, and no message or log quotes a value."""

from __future__ import annotations

import time
from collections.abc import Callable

from local_aws import secrets_requests as asked
from local_aws.glue import Json
from local_aws.secrets_errors import SecretsError, exists, not_found, wrong_state
from local_aws.secrets_rows import CURRENT, Secrets, arn
from local_aws.store import Store

_DAY = 86_400


class SecretsManager:
    """Answers Secrets Manager's actions; what is not here is refused by name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secrets = Secrets(store)
        self._actions: dict[str, Callable[[Json], Json]] = {
            "CreateSecret": self._create,
            "DeleteSecret": self._delete,
            "DescribeSecret": self._describe,
            "GetSecretValue": self._get,
            "ListSecrets": self._list,
            "PutSecretValue": self._put,
            "RestoreSecret": self._restore,
            "UpdateSecret": self._update,
        }

    def dispatch(self, action: str, payload: Json) -> Json:
        """Answer one action, in one transaction: whole or not at all, and after a kill too."""
        handler = self._actions.get(action)
        if handler is None:
            raise SecretsError(
                "UnknownOperationException",
                f"local_aws does not implement Secrets Manager's {action}.",
            )
        asked.refuse_what_is_not_here(payload)
        with self._store.write():
            self._secrets.delete_overdue()
            return handler(payload)

    def _create(self, payload: Json) -> Json:
        name = asked.new_name(payload)
        given = asked.value(payload)
        token = asked.token(payload) if given else None
        found = self._secrets.find(name)
        if found is not None:
            if "DeletedDate" in found:
                raise wrong_state(
                    "You can't create this secret because a secret with this name is already "
                    "scheduled for deletion."
                )
            version = self._secrets.versions(name).get(token or "")
            # A repetition whose first answer was lost; anything else is somebody else's secret.
            if version is None or (version.kind, version.value) != given:
                raise exists(f"The operation failed because the secret {name} already exists.")
            return _named(found) | {"VersionId": version.id}
        about = asked.about(payload)
        if given_tags := asked.tags(payload):
            about["Tags"] = given_tags
        secret = self._secrets.new(name, about)
        if given is None or token is None:
            return _named(secret)
        return _named(secret) | {"VersionId": self._secrets.add(secret, token, given, [CURRENT]).id}

    def _put(self, payload: Json) -> Json:
        given = asked.value(payload)
        if given is None:
            raise wrong_state("You must provide either SecretString or SecretBinary.")
        secret = self._require(payload)
        version = self._secrets.add(secret, asked.token(payload), given, asked.stages(payload))
        return _named(secret) | {"VersionId": version.id, "VersionStages": version.stages}

    def _update(self, payload: Json) -> Json:
        given = asked.value(payload)
        secret = self._require(payload)
        secret |= {**asked.about(payload), "LastChangedDate": time.time()}
        self._secrets.save(secret)
        if given is None:
            return _named(secret)
        version = self._secrets.add(secret, asked.token(payload), given, [CURRENT])
        return _named(secret) | {"VersionId": version.id}

    def _get(self, payload: Json) -> Json:
        secret = self._require(payload)
        versions = self._secrets.versions(secret["Name"])
        wanted = payload.get("VersionId")
        stage = payload.get("VersionStage") or (None if wanted else CURRENT)
        if wanted:
            version = versions.get(str(wanted))
            place = f"VersionId: {wanted}"
        else:
            version = next((each for each in versions.values() if stage in each.stages), None)
            place = f"staging label: {stage}"
        if version is None:
            raise not_found(f"Secrets Manager can't find the specified secret value for {place}")
        if stage is not None and stage not in version.stages:
            raise wrong_state(
                "You provided a VersionStage that is not associated to the provided VersionId."
            )
        today = time.time() // _DAY * _DAY
        if secret.get("LastAccessedDate") != today:  # AWS keeps the day: few reads write
            self._secrets.save(secret | {"LastAccessedDate": today})
        return _named(secret) | {
            "VersionId": version.id,
            version.kind: version.value,
            "VersionStages": version.stages,
            "CreatedDate": version.created,
        }

    def _describe(self, payload: Json) -> Json:
        secret = self._find(payload)
        return secret | {"VersionIdsToStages": self._secrets.labels(secret["Name"])}

    def _list(self, payload: Json) -> Json:
        found, after = asked.page(payload, self._secrets.all())
        answer: Json = {
            "SecretList": [
                secret | {"SecretVersionsToStages": self._secrets.labels(secret["Name"])}
                for secret in found
            ]
        }
        return answer | ({"NextToken": after} if after else {})

    def _delete(self, payload: Json) -> Json:
        days = asked.window(payload)
        now = time.time()
        if days is None:
            name = asked.text(payload, "SecretId")
            secret = self._secrets.find(name)
            if secret is None:  # AWS does not mind: it is gone, as was asked
                return {"ARN": arn(name), "Name": name, "DeletionDate": now}
            self._secrets.delete(secret["Name"])
            return _named(secret) | {"DeletionDate": now}
        secret = self._require(payload)
        secret["DeletedDate"] = now + days * _DAY
        self._secrets.save(secret)
        return _named(secret) | {"DeletionDate": secret["DeletedDate"]}

    def _restore(self, payload: Json) -> Json:
        secret = self._find(payload)
        secret.pop("DeletedDate", None)
        self._secrets.save(secret)
        return _named(secret)

    def _find(self, payload: Json) -> Json:
        secret = self._secrets.find(asked.text(payload, "SecretId"))
        if secret is None:
            raise not_found("Secrets Manager can't find the specified secret.")
        return secret

    def _require(self, payload: Json) -> Json:
        """The secret, which must not be marked for deletion."""
        secret = self._find(payload)
        if "DeletedDate" in secret:
            raise wrong_state(
                "You can't perform this operation on the secret because it was marked for deletion."
            )
        return secret


def _named(secret: Json) -> Json:
    return {"ARN": secret["ARN"], "Name": secret["Name"]}
