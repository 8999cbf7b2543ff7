"""Shows what dbt built to readers: audited, all tables at once, without copying a row.

``sides.py`` says how; here are the calls. What was audited, and what came of it, is one object in
the lake, so that nothing else than that is ever shown.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError

from ingestion import sides
from ingestion.errors import ConfigError, ContractError, LakeUnavailable
from ingestion.lake import Lake
from ingestion.settings import Settings

logger = logging.getLogger(__name__)

FOLDER = "warehouse/"
"""Below it dbt writes, a folder for each schema (profiles.yml, s3_data_dir)."""

AUDIT_KEY = "warehouse_audit/latest.json"
RESULTS_PREFIX = "dbt_runs/latest/warehouse."
"""Where the tasks that build leave dbt's results; the nightly tests lie beside them."""

GRACE = timedelta(seconds=30)
"""How long a side stays as it is after the switch away from it: a query that saw the old side finds
its tables within its first second or two; then it holds their files."""

KEPT = timedelta(hours=2)
"""How long files stay that no definition names any more: queries that began before still read them,
and a model that is being built has files before it has a definition."""

_REFUSED = ("AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException")
_RACED = ("ConcurrentModificationException", "AlreadyExistsException", "EntityNotFoundException")


@dataclass(frozen=True, slots=True)
class Audit:
    """What the checks said of the tables that were built."""

    at: str
    """When, UTC, in ISO 8601."""

    build: str
    """The digest of what was looked at."""

    failed_blocking: list[str]
    failed_warning: list[str]


class Marts:
    """The four schemas of the warehouse in Glue."""

    def __init__(self, settings: Settings) -> None:
        self.names = sides.Names(settings.warehouse_schema)
        self._lake = Lake(settings)
        config = Config(
            retries={"mode": "standard", "max_attempts": 8}, connect_timeout=5, read_timeout=60
        )
        session = boto3.session.Session(region_name=settings.aws_region)
        endpoint = settings.aws_endpoint_url
        self._glue = cast(Any, session.client("glue", endpoint_url=endpoint, config=config))
        self._s3 = cast(Any, session.client("s3", endpoint_url=endpoint, config=config))

    # ---------- the audit

    def digest(self) -> str:
        """Return a digest of where the rows of every built table lie now."""
        return _digest(self._tables(self.names.build))

    def note(self, audit: Audit) -> None:
        """Keep what the audit said, green or red."""
        self._lake.put(AUDIT_KEY, json.dumps(asdict(audit)).encode(), "application/json")

    def audit(self) -> Audit | None:
        """Return what the last audit said."""
        body = self._lake.get(AUDIT_KEY)
        return Audit(**json.loads(body)) if body else None

    # ---------- publishing

    def publish(self, nodes: Iterable[str], run_id: str, grace: timedelta = GRACE) -> bool:
        """Show readers what was built and audited; return whether anything changed for them.

        ``nodes`` are dbt's names of the project's models and tests. Safe to run again, to kill at
        any point and to race: readers see one publication or the next one, whole.

        Raises:
            ContractError: if what is built is not what was audited, or the audit was red.
            LakeUnavailable: if AWS did not answer, or somebody else publishes.
        """
        known = set(nodes)
        found = self._catalogue()
        self._assert_audited(found, known)
        return self._show(found, known, run_id, grace)

    def publish_rewritten(
        self, nodes: Iterable[str], run_id: str, grace: timedelta = GRACE
    ) -> bool:
        """Show readers the files that OPTIMIZE has written: the rows they see already.

        Returns False, and shows nothing, if a build that no audit has let through stands there.
        """
        found = self._catalogue()
        if not self._holds_published_rows(found):
            return False
        # Twice, so that neither side needs a file that VACUUM may remove.
        for _ in sides.SIDES:
            self._show(self._catalogue(), set(nodes), run_id, grace, is_forced=True)
        return True

    def holds_published_rows(self) -> bool:
        """Tell whether the built tables hold the rows that readers see, file layout aside."""
        return self._holds_published_rows(self._catalogue())

    def may_vacuum(self, table: str) -> bool:
        """Tell whether both sides show the present snapshot, so VACUUM takes none of theirs."""
        found = self._catalogue()
        built = self._snapshot(found.build[table])
        shown = [found.sides[side].get(table) for side in sides.SIDES]
        return built is not None and all(
            definition is not None and self._snapshot(definition) == built for definition in shown
        )

    def adopt(self) -> int:
        """Let dbt go on with the tables that an earlier release built where readers look.

        For the first run after that upgrade; copies definitions, no row. Returns how many. Without
        it, everything is built anew, and the history of restatements begins again.
        """
        found = self._catalogue()
        if found.live or found.build:
            raise ContractError(f"{self.names.build} holds tables: dbt goes on with those.")
        self._ensure_schemas()
        calls = sides.adopted(self.names, found)
        for call in calls:
            self._make(call)
        return len(calls)

    def published_at(self) -> str | None:
        """Return when readers got what they see, UTC in ISO 8601; none before the first time."""
        switch = self._tables(self.names.readers).get(sides.SWITCH)
        return switch["Parameters"].get("published_at") if switch else None

    def _assert_audited(self, found: sides.Catalogue, nodes: set[str]) -> None:
        audit = self.audit()
        if audit is None or audit.build != _digest(found.build):
            raise ContractError(
                "What is built is not what was audited. Clear `check_marts` with downstream: it "
                "looks at the tables as they are now."
            )
        failed = [*audit.failed_blocking, *failed_nodes(self.run_results(), nodes)]
        if failed:
            raise ContractError(
                f"Not published: {'; '.join(failed)}. Readers keep what they have. Build what is "
                "named, so that its tests run again."
            )
        models = _models(nodes)
        live = found.sides[found.live] if found.live else {}
        if lost := sorted(name for name in models & live.keys() if name not in found.build):
            raise ContractError(
                f"Readers have {', '.join(lost)}, and no such table is built. Build all models."
            )

    def _show(
        self,
        found: sides.Catalogue,
        nodes: set[str],
        run_id: str,
        grace: timedelta,
        *,
        is_forced: bool = False,
    ) -> bool:
        def planned() -> sides.Plan:
            at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            return sides.plan(self.names, found, _models(nodes), at, run_id, is_forced=is_forced)

        plan = planned()
        if plan.switch:
            self._ensure_schemas()
            self._wait(found, grace)
            plan = planned()  # with the moment of the switch
        for call in plan.calls:
            self._make(call)
        logger.info(
            "published side=%s calls=%d switched=%s", plan.side, len(plan.calls), bool(plan.switch)
        )
        return plan.switch is not None

    def _wait(self, found: sides.Catalogue, grace: timedelta) -> None:
        """Let the queries that saw the other side begin before it changes."""
        switch = found.readers.get(sides.SWITCH)
        if switch:
            since = datetime.fromisoformat(switch["Parameters"]["published_at"])
            time.sleep(max(0.0, (since + grace - datetime.now(UTC)).total_seconds()))

    def _make(self, call: sides.Call) -> None:
        with _translated(f"{call.kind} {call.database}.{call.name}"):
            if call.kind == "delete":
                with contextlib.suppress(self._glue.exceptions.EntityNotFoundException):
                    self._glue.delete_table(DatabaseName=call.database, Name=call.name)
            elif call.kind == "create":
                self._glue.create_table(DatabaseName=call.database, TableInput=call.definition)
            else:
                version = {"VersionId": call.version} if call.version else {}
                self._glue.update_table(
                    DatabaseName=call.database,
                    TableInput=call.definition,
                    SkipArchive=True,
                    **version,
                )

    # ---------- what stands there

    def _catalogue(self) -> sides.Catalogue:
        return sides.Catalogue(
            self._tables(self.names.build),
            {side: self._tables(self.names.side(side)) for side in sides.SIDES},
            self._tables(self.names.readers),
        )

    def _tables(self, database: str) -> dict[str, dict[str, Any]]:
        pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=database)
        with _translated(f"read the tables of {database}"):
            try:
                return {
                    table["Name"]: table
                    for page in pages
                    for table in page["TableList"]
                    if not sides.is_temporary(table["Name"])
                }
            except self._glue.exceptions.EntityNotFoundException:
                return {}  # no such schema yet

    def _ensure_schemas(self) -> None:
        for schema in self.names.all:
            with (
                _translated(f"create schema {schema}"),
                contextlib.suppress(self._glue.exceptions.AlreadyExistsException),
            ):
                self._glue.create_database(DatabaseInput={"Name": schema})

    def run_results(self) -> Iterator[bytes]:
        """Return what dbt left behind where it built, by task."""
        bodies = (self._lake.get(key) for key in self._lake.keys(RESULTS_PREFIX))
        return (body for body in bodies if body)

    def _holds_published_rows(self, found: sides.Catalogue) -> bool:
        shown = found.sides[found.live] if found.live else {}
        return bool(shown) and all(
            name in found.build and self._is_rewritten(found.build[name], table)
            for name, table in shown.items()
            if table["TableType"] != "VIRTUAL_VIEW"
        )

    def _is_rewritten(self, built: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
        """Tell whether nothing but rewriting leads from what is shown to what is built."""
        if sides.pointer(built) == sides.pointer(shown):
            return True
        metadata, wanted = self._metadata(built), self._snapshot(shown)
        if metadata is None or wanted is None:
            return False
        snapshots = {each["snapshot-id"]: each for each in metadata.get("snapshots", [])}
        at = metadata.get("current-snapshot-id")
        while at != wanted:
            snapshot = snapshots.get(at)
            if snapshot is None or snapshot["summary"]["operation"] != "replace":
                return False
            at = snapshot.get("parent-snapshot-id")
        return True

    def _snapshot(self, table: Mapping[str, Any]) -> int | None:
        metadata = self._metadata(table)
        return metadata.get("current-snapshot-id") if metadata else None

    def _metadata(self, table: Mapping[str, Any]) -> dict[str, Any] | None:
        location = (table.get("Parameters") or {}).get("metadata_location")
        body = self._lake.get(self._lake.key_of(location)) if location else None
        return json.loads(body) if body else None

    # ---------- files that nobody needs

    def sweep(self, kept: timedelta = KEPT) -> int:
        """Delete what dbt wrote that belongs to no table any more; return how many objects.

        dbt deletes no file of the build (macros/athena__drop_relation.sql): readers may see it.
        """
        found = self._catalogue()
        named = [
            where
            for tables in (found.build, *found.sides.values(), found.readers)
            for table in tables.values()
            for where in _locations(table)
        ]
        if not named:
            return 0
        before = datetime.now(UTC) - kept
        orphans: dict[str, list[str]] = {}
        young = set()
        for key, at in self._listed(f"{FOLDER}{self.names.build}/"):
            # warehouse/<schema>/<table>/<one build>/…
            home = "/".join(key.split("/")[:4]) + "/"
            if key.count("/") < 4 or any(where.startswith(self._lake.uri(home)) for where in named):
                continue
            orphans.setdefault(home, []).append(key)
            if at >= before:
                young.add(home)
        deleted = [key for home, keys in orphans.items() if home not in young for key in keys]
        for key in deleted:
            self._lake.delete(key)
        logger.info("swept objects=%d", len(deleted))
        return len(deleted)

    def _listed(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        pages = self._s3.get_paginator("list_objects_v2")
        with _translated(f"list {prefix}"):
            for page in pages.paginate(Bucket=self._lake.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield item["Key"], item["LastModified"]


def failed_nodes(results: Iterable[bytes], nodes: Set[str]) -> list[str]:
    """Return the models and tests that failed when dbt ran them last, of those that still exist."""
    return sorted(
        result["unique_id"].split(".")[2]
        for body in results
        for result in json.loads(body).get("results", [])
        if result["unique_id"] in nodes and result["status"] in ("error", "fail", "runtime error")
    )


def _models(nodes: Iterable[str]) -> set[str]:
    return {node.rpartition(".")[2] for node in nodes if node.startswith("model.")}


def _digest(tables: Mapping[str, Mapping[str, Any]]) -> str:
    told = sorted(f"{name} {sides.pointer(table)}" for name, table in tables.items())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _locations(table: Mapping[str, Any]) -> Sequence[str]:
    metadata = (table.get("Parameters") or {}).get("metadata_location")
    location = (table.get("StorageDescriptor") or {}).get("Location")
    return [f"{where.rstrip('/')}/" for where in (metadata, location) if where]


@contextlib.contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _RACED:
            raise LakeUnavailable(
                f"Somebody else changed the tables while we wanted to {action}. Run again."
            ) from None
        if code in _REFUSED:
            raise ConfigError(
                f"AWS refused to {action}: {code}. Check the role's policy."
            ) from None
        raise LakeUnavailable(f"AWS could not {action}: {code}. Run again.") from None
    except NoCredentialsError:
        raise ConfigError("There are no AWS credentials to publish with.") from None
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise LakeUnavailable(
            f"AWS could not {action}: {type(error).__name__}. Run again."
        ) from None
