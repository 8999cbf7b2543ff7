"""Work groups and their prepared statements."""

from __future__ import annotations

import re
import time
from typing import Any

from local_aws.athena_errors import invalid_request, not_found
from local_aws.athena_history import History
from local_aws.athena_pages import paged
from local_aws.glue import Json

PRIMARY = "primary"
_VERSION = "Athena engine version 3"


class WorkGroups:
    """``primary`` is always there."""

    def __init__(self, history: History) -> None:
        self._history = history
        if PRIMARY not in history.work_groups():
            history.save_work_group(PRIMARY, _new(PRIMARY, {}, ""))

    def find(self, name: str) -> Json:
        """A work group; InvalidRequestException if there is none."""
        found = self._history.work_groups().get(name)
        if found is None:
            raise invalid_request(f"WorkGroup {name} is not found.")
        return found

    def get(self, payload: Json) -> Json:
        """GetWorkGroup."""
        return {"WorkGroup": self.find(payload["WorkGroup"])}

    def list_groups(self, payload: Json) -> Json:
        """ListWorkGroups."""
        page, token = paged(list(self._history.work_groups().values()), payload)
        return {
            "WorkGroups": [
                {
                    "Name": g["Name"],
                    "State": g["State"],
                    "Description": g["Description"],
                    "CreationTime": g["CreationTime"],
                    "EngineVersion": g["Configuration"]["EngineVersion"],
                }
                for g in page
            ],
            **token,
        }

    def create(self, payload: Json) -> Json:
        """CreateWorkGroup."""
        name = payload["Name"]
        if not re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", name):
            raise invalid_request(f"WorkGroup name {name!r} is not valid.")
        if name in self._history.work_groups():
            raise invalid_request(f"WorkGroup {name} is already created.")
        configuration = payload.get("Configuration") or {}
        _check_results(configuration)
        self._history.save_work_group(
            name, _new(name, configuration, payload.get("Description", ""))
        )
        return {}

    def update(self, payload: Json) -> Json:
        """UpdateWorkGroup."""
        group = self.find(payload["WorkGroup"])
        if "Description" in payload:
            group["Description"] = payload["Description"]
        if "State" in payload:
            group["State"] = payload["State"]
        changes = dict(payload.get("ConfigurationUpdates") or {})
        configuration = group["Configuration"]
        results = dict(changes.pop("ResultConfigurationUpdates", None) or {})
        current = dict(configuration.get("ResultConfiguration") or {})
        if results.pop("RemoveOutputLocation", False):
            current.pop("OutputLocation", None)
        if "OutputLocation" in results:
            current["OutputLocation"] = results["OutputLocation"]
        configuration["ResultConfiguration"] = current
        if changes.pop("RemoveBytesScannedCutoffPerQuery", False):
            configuration.pop("BytesScannedCutoffPerQuery", None)
        changes.pop("EngineVersion", None)
        managed = changes.pop("ManagedQueryResultsConfigurationUpdates", None)
        if managed is not None:
            enabled = bool(managed.get("Enabled", False))
            configuration["ManagedQueryResultsConfiguration"] = {"Enabled": enabled}
        configuration.update(changes)
        _check_results(configuration)
        self._history.save_work_group(group["Name"], group)
        return {}

    def delete(self, payload: Json) -> Json:
        """DeleteWorkGroup."""
        name = payload["WorkGroup"]
        if name == PRIMARY:
            raise invalid_request("The primary WorkGroup cannot be deleted.")
        self.find(name)
        self._history.delete_work_group(name)
        return {}

    # ------------------------------------------------------------------ prepared statements

    def statement(self, work_group: str, name: str) -> str | None:
        """The text of a prepared statement."""
        found = self._history.prepared(work_group).get(name)
        return None if found is None else str(found["QueryStatement"])

    def prepare(self, work_group: str, name: str, text: str) -> None:
        """PREPARE, in SQL."""
        self.save_statement(work_group, name, text, "")

    def save_statement(self, work_group: str, name: str, text: str, description: str) -> None:
        """Store a prepared statement."""
        body = {
            "StatementName": name,
            "QueryStatement": text,
            "WorkGroupName": work_group,
            "Description": description,
            "LastModifiedTime": round(time.time(), 3),
        }
        self._history.save_prepared(work_group, name, body)

    def deallocate(self, work_group: str, name: str) -> bool:
        """DEALLOCATE PREPARE, in SQL; whether there was one."""
        if self.statement(work_group, name) is None:
            return False
        self._history.delete_prepared(work_group, name)
        return True

    def create_prepared(self, payload: Json) -> Json:
        """CreatePreparedStatement."""
        group, name = payload["WorkGroup"], payload["StatementName"]
        self.find(group)
        if self.statement(group, name) is not None:
            raise invalid_request(f"Prepared statement {name} already exists.")
        text, about = payload["QueryStatement"], payload.get("Description", "")
        self.save_statement(group, name, text, about)
        return {}

    def update_prepared(self, payload: Json) -> Json:
        """UpdatePreparedStatement."""
        self._require(payload)
        self.save_statement(
            payload["WorkGroup"], payload["StatementName"], payload["QueryStatement"],
            payload.get("Description", ""),
        )  # fmt: skip
        return {}

    def get_prepared(self, payload: Json) -> Json:
        """GetPreparedStatement."""
        return {"PreparedStatement": self._require(payload)}

    def list_prepared(self, payload: Json) -> Json:
        """ListPreparedStatements."""
        self.find(payload["WorkGroup"])
        page, token = paged(list(self._history.prepared(payload["WorkGroup"]).values()), payload)
        keys = ("StatementName", "LastModifiedTime")
        return {"PreparedStatements": [{k: body[k] for k in keys} for body in page], **token}

    def delete_prepared(self, payload: Json) -> Json:
        """DeletePreparedStatement."""
        self._require(payload)
        self._history.delete_prepared(payload["WorkGroup"], payload["StatementName"])
        return {}

    def _require(self, payload: Json) -> Json:
        self.find(payload["WorkGroup"])
        found = self._history.prepared(payload["WorkGroup"]).get(payload["StatementName"])
        if found is None:
            raise not_found(f"Prepared statement {payload['StatementName']} is not found.")
        return found


def _new(name: str, configuration: dict[str, Any], description: str) -> Json:
    return {
        "Name": name,
        "State": "ENABLED",
        "Description": description,
        "CreationTime": round(time.time(), 3),
        "Configuration": {
            "EnforceWorkGroupConfiguration": name != PRIMARY,
            "PublishCloudWatchMetricsEnabled": False,
            "RequesterPaysEnabled": False,
            "ResultConfiguration": {},
            **configuration,
            "EngineVersion": {
                "SelectedEngineVersion": _VERSION,
                "EffectiveEngineVersion": _VERSION,
            },
        },
    }


def _check_results(configuration: Json) -> None:
    managed = (configuration.get("ManagedQueryResultsConfiguration") or {}).get("Enabled")
    if managed and (configuration.get("ResultConfiguration") or {}).get("OutputLocation"):
        raise invalid_request(
            "A workgroup cannot have both ResultConfiguration.OutputLocation and "
            "ManagedQueryResultsConfiguration.Enabled."
        )
